"""Semantic segmentation with SwinV2: UPerNet and Semantic FPN, ADE20K data, mean IoU."""

from segmentation.segmenter import Segmenter
from segmentation.semantic_fpn import SemanticFPN
from segmentation.upernet import UPerNet

__all__ = ["Segmenter", "SemanticFPN", "UPerNet"]
