"""Object detection and instance segmentation with Swin Transformer V2."""

from detection.mask_rcnn import MaskRCNN
from detection.rcnn import RCNN

__all__ = ["RCNN", "MaskRCNN"]
