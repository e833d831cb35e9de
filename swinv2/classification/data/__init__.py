"""Image classification data for training, validation and prediction."""

from .imagenet_data import ImageNetData

__all__ = ["ImageNetData"]
