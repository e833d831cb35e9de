"""Semantic segmentation with SwinV2."""
