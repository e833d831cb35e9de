"""Images in WebDataset shards."""

from .dataset import read_shards

__all__ = ["read_shards"]
