"""Images and label maps for training, validation and prediction."""

from .ade20k_data import Ade20kData

__all__ = ["Ade20kData"]
