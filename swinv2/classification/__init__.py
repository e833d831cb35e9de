"""Image classification with Swin Transformer V2."""
