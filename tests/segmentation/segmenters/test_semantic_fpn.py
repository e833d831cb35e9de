"""The light head."""

import torch

from segmentation import SemanticFPN, UPerNet
from swinv2 import BackboneConfig


def test_lighter_than_upernet():
    """Beside the same backbone it has a seventh of the parameters of UPerNet's head."""
    with torch.device("meta"):
        heads = [kind(BackboneConfig("swinv2_tiny_window8_256"), 150).decode_head for kind in (SemanticFPN, UPerNet)]
    light, heavy = (sum(p.numel() for p in head.parameters()) for head in heads)
    assert light < heavy / 7


def test_fewer_maps():
    """It takes the maps that the backbone gives, two or more."""
    dwarf = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 8]}
    backbone = BackboneConfig("swinv2_tiny_window8_256", out_indices=[1, 2, 3], **dwarf)
    logits = SemanticFPN(backbone, 5, fpn_channels=8, channels=8).eval()(torch.rand(1, 3, 64, 96))
    assert logits.shape == (1, 5, 8, 12)
