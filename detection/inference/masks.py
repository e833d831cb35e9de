"""Conversion of mask probabilities inside boxes to masks of whole images, dense or run-length encoded."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from pycocotools import mask as mask_utils
from torch import Tensor

THRESHOLD = 0.5


def paste_masks(
    masks: Float[Tensor, "n m m"], boxes: Float[Tensor, "n 4"], size: Sequence[int]
) -> Bool[Tensor, "n h w"]:
    """Masks of a whole image, on the CPU: bilinear within each box, true from a probability of 0.5.

    Args:
        masks: probabilities on a grid over each box.
        boxes: xyxy in pixels of the image; the parts outside it are cut off.
        size: (height, width) of the image.
    """
    height, width = size
    pasted = torch.zeros(len(masks), height, width, dtype=torch.bool)
    for whole, mask, box in zip(pasted.numpy(), to_numpy(masks), to_numpy(boxes), strict=True):
        region, top, left = paste_region(mask, box, height, width)
        whole[top : top + region.shape[0], left : left + region.shape[1]] = region
    return pasted


def encode_masks(
    masks: Float[Tensor, "n m m"], boxes: Float[Tensor, "n 4"], size: Sequence[int]
) -> list[dict[str, Any]]:
    """Masks of `paste_masks` as COCO's compressed RLE, without ever making a whole mask.

    Args:
        masks: probabilities on a grid over each box.
        boxes: xyxy in pixels of the image.
        size: (height, width) of the image.
    """
    height, width = size
    pairs = zip(to_numpy(masks), to_numpy(boxes), strict=True)
    return [encode_region(*paste_region(mask, box, height, width), height, width) for mask, box in pairs]


def paste_region(
    mask: Float32[np.ndarray, "m m"], box: Float32[np.ndarray, "4"], height: int, width: int
) -> tuple[Bool[np.ndarray, "h w"], int, int]:
    """Mask of the part of an image that a box covers, and the part's first row and column."""
    left, top, right, bottom = box.tolist()
    first_row, rows = interpolation(top, bottom, height, len(mask))
    first_column, columns = interpolation(left, right, width, len(mask))
    return rows @ mask @ columns.T >= THRESHOLD, first_row, first_column


def interpolation(start: float, end: float, length: int, cells: int) -> tuple[int, Float32[np.ndarray, "p c"]]:
    """First pixel between two edges of a box, and weights of the mask's cells at each pixel between them.

    Centres of pixels and cells lie at their index + 0.5. Beyond the centres of the outer cells the value falls to zero
    within one cell, so that it never exceeds 0.5 outside the box.

    Args:
        start: left or upper edge, pixels.
        end: right or lower edge, pixels.
        length: size of the image along this axis, pixels.
        cells: number of cells between the edges.
    """
    first, last = max(int(np.floor(start)), 0), min(int(np.ceil(end)), length)
    centres = (np.arange(first, last, dtype=np.float32) + 0.5 - start) / max(end - start, 1e-6) * cells - 0.5
    distance = np.abs(centres[:, None] - np.arange(cells, dtype=np.float32))
    return first, np.maximum(1 - distance, 0).astype(np.float32)


def encode_region(region: Bool[np.ndarray, "p q"], top: int, left: int, height: int, width: int) -> dict[str, Any]:
    """Compressed RLE of an image with one region; `counts` is text, ready for JSON.

    Args:
        region: mask of the object within a part of the image.
        top: row of the image where the part begins.
        left: column where it begins.
        height: height of the image, pixels.
        width: width of the image, pixels.
    """
    bordered = np.pad(region.T, ((0, 0), (1, 1)))  # (q, p + 2): every run has a start and an end
    column, row = np.nonzero(bordered[:, 1:] != bordered[:, :-1])
    edges, repeats = np.unique((left + column) * height + top + row, return_counts=True)
    area = height * width
    edges = edges[(repeats == 1) & (edges < area)]  # a run that ends where the next column's begins goes on
    counts = np.diff(edges, prepend=0, append=area)
    encoded = mask_utils.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return {"size": [height, width], "counts": encoded["counts"].decode()}


def to_numpy(values: Float[Tensor, "*any"]) -> Float32[np.ndarray, "*any"]:
    """Tensor of any device and dtype as a float32 array."""
    return values.detach().float().cpu().numpy()
