"""Resizing images, masks and boxes in step, as random transforms and tests at several sizes need it."""

from typing import Any

import torch
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import Mask, wrap

LEAST_SIDE = 4  # pixels


def resize(inpt: Any, size: tuple[int, int]) -> Any:
    """Resize an image, boxes or masks to (height, width), pixel centres in step.

    torchvision takes the upper left pixel for masks, which moves them by up to half a pixel against the image.
    """
    if not isinstance(inpt, Mask):
        return F.resize(inpt, list(size))
    rows, columns = (
        ((torch.arange(new) + 0.5) * old / new).long() for new, old in zip(size, inpt.shape[-2:], strict=True)
    )
    return wrap(inpt.index_select(-1, columns).index_select(-2, rows), like=inpt)


def scaled(height: int, width: int, factor: float) -> tuple[int, int]:
    """A size times a factor; no side comes out shorter than a patch."""
    return max(round(height * factor), LEAST_SIDE), max(round(width * factor), LEAST_SIDE)


def draw(least: int, greatest: int) -> int:
    """A whole number from a range, both ends included."""
    return int(torch.randint(least, greatest + 1, ()))
