"""Swin Transformer V2: one N-D backbone for images and video, detection, segmentation and classification."""

from .backbone import SwinTransformerV2
from .classification.classifier import create_model
from .inference import optimize_for_inference
from .torchvision_backbone import as_torchvision_backbone
from .variants import BackboneConfig, create_backbone, list_models
from .weights import LoadReport, convert, load_weights

__version__ = "0.1.0"
__all__ = [
    "BackboneConfig",
    "LoadReport",
    "SwinTransformerV2",
    "as_torchvision_backbone",
    "convert",
    "create_backbone",
    "create_model",
    "list_models",
    "load_weights",
    "optimize_for_inference",
]
