"""Files of images and video, and drawing on them."""
