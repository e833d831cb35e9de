"""Image and video files, and drawing on images."""
