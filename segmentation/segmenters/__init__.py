"""The segmenters and their parts."""
