"""Resizing of images, masks and boxes in step, and checks of random crops, for the transforms of several tasks."""

from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import Mask, wrap

LEAST_SIDE = 4  # pixels
LEAST_SHARE = 0.01  # of the area; smaller crops show hardly anything


def resize(inpt: Any, size: tuple[int, int]) -> Any:
    """Resize an image, boxes or masks to (height, width), with pixel centres aligned.

    torchvision aligns the upper left corners of masks, which shifts them by up to half a pixel against the image.
    """
    if not isinstance(inpt, Mask):
        return F.resize(inpt, list(size))
    rows, columns = (nearest(old, new, inpt.device) for new, old in zip(size, inpt.shape[-2:], strict=True))
    return wrap(inpt.index_select(-1, columns).index_select(-2, rows), like=inpt)


def nearest(old: int, new: int, device: torch.device) -> Int64[Tensor, " {new}"]:
    """Source pixel of each pixel along a resized axis: the one with the nearest centre."""
    return ((torch.arange(new, device=device) + 0.5) * old / new).long()


def scaled(height: int, width: int, factor: float) -> tuple[int, int]:
    """Height and width times a factor, each at least a patch."""
    return max(round(height * factor), LEAST_SIDE), max(round(width * factor), LEAST_SIDE)


def random_integer(least: int, greatest: int) -> int:
    """Random integer from a range, both ends included."""
    return int(torch.randint(least, greatest + 1, ()))


def check_size(size: int) -> None:
    """Raise ValueError unless an output size is at least 1."""
    if size < 1:
        raise ValueError(f"size {size}: give the height and width in pixels, e.g. 224.")


def check_crops(size: int, scale_range: tuple[float, float], flip_prob: float) -> None:
    """Raise unless the settings of random crops are in range: size, shares of the area, flip probability.

    Raises:
        ValueError: a setting out of range.
    """
    check_size(size)
    if not LEAST_SHARE <= scale_range[0] <= scale_range[1] <= 1:
        raise ValueError(
            f"scale_range {scale_range}: give the least and the greatest share of the area that is cut out, from "
            f"{LEAST_SHARE} to 1 and ascending, e.g. [0.08, 1.0]."
        )
    if not 0 <= flip_prob <= 1:
        raise ValueError(f"flip_prob {flip_prob}: give a probability from 0 to 1, e.g. 0.5.")
