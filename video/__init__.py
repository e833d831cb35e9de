"""Video classification with SwinV2."""
