"""Resizing images, masks and boxes in step, and what random crops may be, for the transforms of several tasks."""

from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import Mask, wrap

LEAST_SIDE = 4  # pixels
LEAST_SHARE = 0.01  # of the area, below which a crop is hardly a picture


def resize(inpt: Any, size: tuple[int, int]) -> Any:
    """Resize an image, boxes or masks to (height, width), pixel centres in step.

    torchvision takes the upper left pixel for masks, which moves them by up to half a pixel against the image.
    """
    if not isinstance(inpt, Mask):
        return F.resize(inpt, list(size))
    rows, columns = (nearest(old, new) for new, old in zip(size, inpt.shape[-2:], strict=True))
    return wrap(inpt.index_select(-1, columns).index_select(-2, rows), like=inpt)


def nearest(old: int, new: int) -> Int64[Tensor, " {new}"]:
    """Of each pixel along an axis that is resized, the old one whose centre is nearest."""
    return ((torch.arange(new) + 0.5) * old / new).long()


def scaled(height: int, width: int, factor: float) -> tuple[int, int]:
    """A size times a factor; no side comes out shorter than a patch."""
    return max(round(height * factor), LEAST_SIDE), max(round(width * factor), LEAST_SIDE)


def random_integer(least: int, greatest: int) -> int:
    """A whole number from a range, both ends included."""
    return int(torch.randint(least, greatest + 1, ()))


def check_size(size: int) -> None:
    """See that what comes out has a height and width; raises ValueError."""
    if size < 1:
        raise ValueError(f"size {size}: give the height and width in pixels, e.g. 224.")


def check_crops(size: int, scale_range: tuple[float, float], flip_prob: float) -> None:
    """See that random crops have a size, shares of the area and a probability of being flipped.

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
