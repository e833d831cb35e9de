"""From an image of any size to the class of every pixel."""

from .predictor import segment

__all__ = ["segment"]
