"""Average precision, and where a detector is wrong."""

from .coco_evaluator import CocoEvaluator

__all__ = ["CocoEvaluator"]
