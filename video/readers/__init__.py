"""Readers of video frames, from files and from folders of pictures."""
