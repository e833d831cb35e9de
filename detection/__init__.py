"""Object detection and instance segmentation with Swin Transformer V2."""

from detection.cascade import CascadeMaskRCNN
from detection.detector import Detector
from detection.htc import HybridTaskCascade
from detection.mask_rcnn import MaskRCNN
from detection.postprocess import Postprocess
from detection.rcnn import RCNN
from detection.roi_stage import RoIConfig
from detection.rpn import RPNConfig
from detection.tiles import Tiles
from detection.torchvision_detectors import FasterRCNN, RetinaNet
from detection.views import Views

__all__ = [
    "RCNN",
    "CascadeMaskRCNN",
    "Detector",
    "FasterRCNN",
    "HybridTaskCascade",
    "MaskRCNN",
    "Postprocess",
    "RPNConfig",
    "RetinaNet",
    "RoIConfig",
    "Tiles",
    "Views",
]
