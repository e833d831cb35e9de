"""Images of classes for training, validation and prediction."""

from .imagenet_data import ImageNetData

__all__ = ["ImageNetData"]
