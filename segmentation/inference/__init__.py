"""Segmentation of images of any size, and drawing of the result."""

from .predictor import segment

__all__ = ["segment"]
