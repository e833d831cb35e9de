"""Post-processing, test-time augmentation, tiling and drawing of detections."""
