"""A model for the tests of engines."""

import pytest
import torch
from torch import nn

import swinv2


@pytest.fixture
def model():
    """A small backbone whose branches are open."""
    torch.manual_seed(0)
    backbone = swinv2.create_backbone(
        "swinv2_tiny_window8_256", embed_dim=8, depths=[2], num_heads=[2], window_size=4, out_indices=[0]
    ).double()
    for parameter in backbone.parameters():
        nn.init.normal_(parameter, std=0.3)
    return backbone.train()
