"""Source pixels of a transformed image, so that masks can be drawn after the transforms."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Int32
from torch import Tensor
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import Mask, TVTensor

from swinv2.imaging.resize import nearest


class Origins(TVTensor):
    """Source row in the file of each row of an image, then source column of each column; int32, counted from 1.

    The length is height + width; 0 stands for a row or column without a source, such as padding. Transforms that move,
    crop or resize a mask do the same to this; those that rotate or warp turn it into a map, see `map`.
    """

    height: int

    @classmethod
    def of(cls, rows: Int32[Tensor, " h"], columns: Int32[Tensor, " w"]) -> "Origins":
        """Origins from the source rows and source columns."""
        origins = torch.cat([rows, columns]).as_subclass(cls)
        origins.height = len(rows)
        return origins

    @classmethod
    def whole(cls, height: int, width: int) -> "Origins":
        """Origins of an image that was not transformed."""
        return cls.of(*(torch.arange(1, side + 1, dtype=torch.int32) for side in (height, width)))

    @property
    def rows(self) -> Int32[Tensor, " h"]:
        """Source row of each pixel row."""
        return self.as_subclass(Tensor)[: self.height]

    @property
    def columns(self) -> Int32[Tensor, " w"]:
        """Source column of each pixel column."""
        return self.as_subclass(Tensor)[self.height :]

    def map(self) -> Mask:
        """Source row and column of each pixel, int32 (2, height, width); a pixel without a source has a 0."""
        return Mask(torch.stack(torch.meshgrid(self.rows, self.columns, indexing="ij")))


@F.register_kernel(F.horizontal_flip, Origins)
def _flip_columns(origins: Origins) -> Origins:
    return Origins.of(origins.rows, origins.columns.flip(0))


@F.register_kernel(F.vertical_flip, Origins)
def _flip_rows(origins: Origins) -> Origins:
    return Origins.of(origins.rows.flip(0), origins.columns)


@F.register_kernel(F.crop, Origins)
def _crop(origins: Origins, top: int, left: int, height: int, width: int) -> Origins:
    return Origins.of(part(origins.rows, top, height), part(origins.columns, left, width))


@F.register_kernel(F.pad, Origins)
def _pad(origins: Origins, padding: list[int], fill: Any = 0, padding_mode: str = "constant") -> Origins | Mask:
    if padding_mode != "constant":
        return F.pad(origins.map(), padding, 0, padding_mode)
    left, top, right, bottom = (padding * 4)[:4] if len(padding) != 2 else padding * 2
    size = len(origins.rows), len(origins.columns)
    return _crop(origins, -top, -left, size[0] + top + bottom, size[1] + left + right)


@F.register_kernel(F.resize, Origins)
def _resize(origins: Origins, size: list[int], *_: Any, **__: Any) -> Origins:
    rows, columns = (
        nearest(len(old), new, old.device) for old, new in zip((origins.rows, origins.columns), size, strict=True)
    )
    return Origins.of(origins.rows[rows], origins.columns[columns])


def _turn(transform: Callable[..., Mask], origins: Origins, *args: Any, **settings: Any) -> Mask:
    return transform(origins.map(), *args, **settings)


for transform in (F.affine, F.elastic, F.perspective, F.rotate):  # rows and columns do not stay rows and columns
    F.register_kernel(transform, Origins)(partial(_turn, transform))


def part(along: Int32[Tensor, " n"], start: int, length: int) -> Int32[Tensor, " m"]:
    """Slice of the origins along an axis; 0 beyond the ends.

    Args:
        along: origins of all rows or columns.
        start: first position; below 0 it is before the image.
        length: number of positions.
    """
    places = torch.arange(start, start + length)
    inside = (places >= 0) & (places < len(along))
    return torch.where(inside, along[places.clamp(0, max(len(along) - 1, 0))], 0)
