"""Average precision and error analysis of detectors."""

from .coco_evaluator import CocoEvaluator

__all__ = ["CocoEvaluator"]
