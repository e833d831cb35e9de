"""Frames of videos, whatever they are stored in."""
