"""Lists of videos, and clips for training, validation and prediction."""

from .kinetics_data import KineticsData

__all__ = ["KineticsData"]
