"""Callbacks of training; for averaged weights (EMA) Lightning has one, see docs/classification.md."""
