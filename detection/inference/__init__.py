"""From a detector's output to detections, for images of any size."""
