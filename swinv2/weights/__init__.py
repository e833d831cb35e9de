"""Weights: every checkpoint format, in and out."""

from .load_report import LoadReport
from .loading import convert, load_weights

__all__ = ["LoadReport", "convert", "load_weights"]
