"""Segmenters and their parts."""
