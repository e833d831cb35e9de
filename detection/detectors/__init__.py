"""The detectors and their parts."""
