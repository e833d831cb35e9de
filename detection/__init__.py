"""Object detection and instance segmentation with Swin Transformer V2."""

from detection.detectors.cascade import CascadeMaskRCNN
from detection.detectors.detector import Detector
from detection.detectors.htc import HybridTaskCascade
from detection.detectors.mask_rcnn import MaskRCNN
from detection.detectors.rcnn import RCNN
from detection.detectors.rpn import RPNConfig
from detection.detectors.torchvision_detectors import FasterRCNN, RetinaNet
from detection.inference.postprocess import Postprocess
from detection.inference.test_time_augmentation import Views
from detection.inference.tiles import Tiles
from detection.roi.roi_stage import RoIConfig

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
