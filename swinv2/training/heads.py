"""Heads of dense tasks on a GPU: layout of their weights, and compilation."""

from typing import cast

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


def prepare_heads(model: nn.Module, device: torch.device, compiles: bool) -> None:
    """Prepare a model of a dense task before it goes to its device.

    Args:
        model: with `heads`, its parts behind the backbone that are called with feature maps.
        device: that it will be on.
        compiles: whether `torch.compile` compiles the heads, for inputs of any size, when they are first called.
    """
    if device.type == "cuda":
        store_channels_last(model)
    for head in cast(list[nn.Module], model.heads) if compiles else ():
        head.compile(dynamic=True)
