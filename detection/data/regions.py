"""Masks cropped to their objects, from the file until they are drawn in the size of the transformed image."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from pycocotools import mask as mask_utils
from torch import Tensor
from torchvision.tv_tensors import Mask

from detection.data.origins import Origins
from detection.data.segmentation_checks import decompress, polygons_of


class Region(NamedTuple):
    """Mask of an object, cropped to the smallest rectangle that holds it.

    Attributes:
        top: first row of the rectangle in the image.
        left: first column of the rectangle.
        pixels: whether each pixel of the rectangle belongs to the object.
    """

    top: int
    left: int
    pixels: Bool[np.ndarray, "p q"]


def encode_region(segmentation: list[Any] | dict[str, Any], height: int, width: int) -> dict[str, Any]:
    """Compressed RLE of a valid segmentation, see `examine`.

    Args:
        segmentation: polygons or run lengths.
        height: height of the image, pixels.
        width: width of the image, pixels.
    """
    if isinstance(segmentation, list):
        parts = mask_utils.frPyObjects(polygons_of(segmentation), height, width)
        return parts[0] if len(parts) == 1 else mask_utils.merge(parts)
    if isinstance(segmentation["counts"], list):
        return mask_utils.frPyObjects(segmentation, height, width)
    return segmentation


def find_region(segmentation: list[Any] | dict[str, Any], height: int, width: int) -> Region:
    """The region of a valid segmentation, see `examine`; the whole image is never drawn.

    Args:
        segmentation: polygons or run lengths.
        height: height of the image, pixels.
        width: width of the image, pixels.
    """
    ends = np.cumsum(run_lengths(segmentation, height, width))  # ends of runs of 0, 1, 0, 1, … in column-major order
    starts, stops = ends[: len(ends) // 2 * 2 : 2], ends[1::2]
    seen = stops > starts
    if not seen.any():
        return Region(0, 0, np.zeros((0, 0), bool))
    left, right = int(starts[seen][0]) // height, (int(stops[seen][-1]) - 1) // height + 1
    edges = np.zeros((right - left) * height + 1, np.int8)
    np.add.at(edges, starts[seen] - left * height, 1)
    np.add.at(edges, stops[seen] - left * height, -1)
    mask = np.cumsum(edges[:-1], dtype=np.int8).view(bool).reshape(right - left, height).T  # (h, q)
    return cut_region(mask, 0, left)


def run_lengths(segmentation: list[Any] | dict[str, Any], height: int, width: int) -> Int64[np.ndarray, " n"]:
    """Lengths of the runs of a segmentation; for the arguments see `find_region`."""
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], list):
        return np.array(segmentation["counts"], np.int64)
    counts = encode_region(segmentation, height, width)["counts"]
    runs = decompress(counts if isinstance(counts, str) else counts.decode("ascii"))
    assert runs is not None  # checked when the file was read
    return runs


def cut_region(mask: Bool[np.ndarray, "p q"], top: int = 0, left: int = 0) -> Region:
    """The region of a mask.

    Args:
        mask: mask of an image, or of a part of it.
        top: row of the image where the part begins.
        left: column where it begins.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return Region(top, left, np.zeros((0, 0), bool))
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Region(top + int(rows[0]), left + int(columns[0]), part.copy())


def draw_regions(regions: Sequence[Region], origins: Origins | Mask) -> Mask:
    """Masks of regions in a transformed image, bool (n, height, width).

    Args:
        regions: regions in the pixels of the file.
        origins: source pixels of the transformed image.
    """
    visible_part = VisiblePart(origins)
    masks = np.zeros((len(regions), *visible_part.size), bool)  # untouched pages of zeros take no memory
    for mask, region in zip(masks, regions, strict=True):
        top, left, pixels = visible_part(region)
        mask[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return Mask(torch.from_numpy(masks))


def region_boxes(regions: Sequence[Region], origins: Origins | Mask) -> Float[Tensor, "n 4"]:
    """Bounding box (xyxy, pixels) of the visible part of each region; zeros if nothing is visible.

    Args:
        regions: regions in the pixels of the file.
        origins: source pixels of the transformed image.
    """
    visible_part = VisiblePart(origins)
    seen = [cut_region(pixels, top, left) for top, left, pixels in map(visible_part, regions)]
    boxes = [
        [left, top, left + pixels.shape[1], top + pixels.shape[0]] if pixels.size else [0] * 4
        for top, left, pixels in seen
    ]
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


class VisiblePart:
    """Mapping of regions into a transformed image, where only a part may be visible.

    Args:
        origins: source pixels of the image.
    """

    def __init__(self, origins: Origins | Mask) -> None:
        aligned = isinstance(origins, Origins)
        rows, columns = (origins.rows, origins.columns) if aligned else origins
        self.aligned, self.rows, self.columns = aligned, rows.numpy() - 1, columns.numpy() - 1
        self.size = (len(rows), len(columns)) if aligned else tuple(rows.shape)

    def __call__(self, region: Region) -> Region:
        """The visible part of a region, in pixels of the transformed image."""
        height, width = region.pixels.shape
        down, across = self.rows - region.top, self.columns - region.left
        if self.aligned:
            rows, columns = (
                np.flatnonzero((down >= 0) & (down < height)),
                np.flatnonzero((across >= 0) & (across < width)),
            )
            if is_run(rows) and is_run(columns):
                pixels = region.pixels[np.ix_(down[rows], across[columns])]
                return Region(int(rows[0]), int(columns[0]), pixels)
            down, across = np.broadcast_arrays(down[:, None], across)
        inside = (down >= 0) & (down < height) & (across >= 0) & (across < width)
        inside[inside] = region.pixels[down[inside], across[inside]]
        return cut_region(inside)


def is_run(numbers: Int64[np.ndarray, " n"]) -> bool:
    """Whether ascending numbers are consecutive and there is at least one."""
    return len(numbers) > 0 and int(numbers[-1] - numbers[0]) == len(numbers) - 1
