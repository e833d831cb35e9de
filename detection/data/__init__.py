"""COCO files and images for training, validation and prediction."""

from .coco_data import CocoData

__all__ = ["CocoData"]
