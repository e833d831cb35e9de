"""Heads of dense tasks on a GPU: layout of their weights, and compilation."""

from collections.abc import Iterable

import torch
from torch import nn

from ..backbone import SwinTransformerV2

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def store_channels_last(model: nn.Module) -> None:
    """Store the weights of all 2-D convolutions but those of backbones with channels last, as features come.

    A GPU would otherwise rearrange weights or features at each convolution. Values and shapes stay.
    """
    for child in model.children():
        if isinstance(child, CONVOLUTIONS):
            child.weight.data = child.weight.data.contiguous(memory_format=torch.channels_last)
        elif not isinstance(child, SwinTransformerV2):
            store_channels_last(child)


def compile_each(heads: Iterable[nn.Module]) -> None:
    """Let `torch.compile` compile heads for inputs of any size when they are first called."""
    for head in heads:
        head.compile(dynamic=True)
