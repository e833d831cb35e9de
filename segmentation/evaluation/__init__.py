"""Mean IoU and confusion matrix."""
