"""Mean IoU, and which classes are taken for which."""
