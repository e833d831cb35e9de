"""Semantic segmentation with SwinV2: UPerNet and Semantic FPN, ADE20K data, mean IoU."""

from segmentation.segmenters.segmenter import Segmenter
from segmentation.segmenters.semantic_fpn import SemanticFPN
from segmentation.segmenters.upernet import UPerNet

__all__ = ["Segmenter", "SemanticFPN", "UPerNet"]
