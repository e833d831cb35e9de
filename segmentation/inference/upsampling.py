"""Upsampling of the coarse maps of overlapping windows to the pixels of an image, one rectangle at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor


class Samples(NamedTuple):
    """Interpolation along one axis: cells of a window's coarse map, and their weights, for each pixel it covers.

    Attributes:
        first: first pixel; the others follow consecutively.
        lower: lower index of the two cells that each pixel is interpolated from.
        upper: upper index of the two.
        near: weight of the lower cell.
        far: weight of the upper cell.
    """

    first: int
    lower: Int64[Tensor, "p"]
    upper: Int64[Tensor, "p"]
    near: Float32[Tensor, "p"]
    far: Float32[Tensor, "p"]

    @property
    def last(self) -> int:
        """First pixel after the covered ones."""
        return self.first + len(self.lower)

    def to(self, device: torch.device) -> "Samples":
        """Samples on another device."""
        return Samples(self.first, *(values.to(device) for values in self[1:]))

    def cut(self, start: int, end: int) -> "Samples":
        """Samples of the pixels from a start up to an end, possibly none."""
        start, end = max(start, self.first), min(end, self.last)
        part = slice(start - self.first, max(end, start) - self.first)
        return Samples(start, *(values[part] for values in self[1:]))


@dataclass(frozen=True)
class Axis:
    """One axis of an image and of its view, which may be resized, with the windows on the view.

    Args:
        pixels: length of the image.
        length: length of the view.
        window: length of a window, in pixels of the view.
        starts: first pixel of each window, in pixels of the view.
    """

    pixels: int
    length: int
    window: int
    starts: Sequence[int]

    def covered(self, start: int) -> tuple[int, int]:
        """First pixel of the image whose centre lies in a window, and the one after the last."""
        first, last = (self._from(edge) for edge in (start, start + self.window))
        return first, last

    @cached_property
    def counts(self) -> Int64[Tensor, "p"]:
        """Number of windows that cover each pixel of the image."""
        counts = torch.zeros(self.pixels, dtype=torch.int64)
        for start in self.starts:
            counts[slice(*self.covered(start))] += 1
        return counts

    def samples(self, start: int, cells: int) -> Samples:
        """Samples of a window for the pixels of the image: linear interpolation, divided by the windows per pixel.

        As in `F.interpolate` with `align_corners=False`, cells are spread evenly over the window, and values are
        constant beyond the centre of the outermost.

        Args:
            start: first pixel of the window, in the view.
            cells: length of its coarse map.
        """
        first, last = self.covered(start)
        centres = (torch.arange(first, last, dtype=torch.float64) + 0.5) * (self.length / self.pixels) - start
        places = (centres * (cells / self.window) - 0.5).clamp(0, cells - 1)
        lower = places.long()
        far, counts = places - lower, self.counts[first:last]
        upper = (lower + 1).clamp(max=cells - 1)
        return Samples(first, lower, upper, ((1 - far) / counts).float(), (far / counts).float())

    def _from(self, edge: int) -> int:
        """First pixel of the image whose centre is not before a position in the view; exact integer arithmetic."""
        return -((self.length - 2 * edge * self.pixels) // (2 * self.length))  # ceil(edge * pixels / length - 1/2)


class Strip(NamedTuple):
    """Coarse maps of a row of windows, with their samples for the pixels of the image.

    Attributes:
        rows: samples of the rows, the same for all windows.
        columns: samples of the columns of each window.
        maps: logits of each window, channels last.
    """

    rows: Samples
    columns: list[Samples]
    maps: list[Float32[Tensor, "n_h n_w k"]]

    def add_to(self, tile: Float32[Tensor, "h w k"], top: int, left: int) -> None:
        """Add the contribution of these windows to the logits of a rectangle of the image.

        Columns come first, so that the greater part of the work, the rows, is sums of whole rows. On a CPU the columns
        are computed row by row, too: no step is then so large that PyTorch starts threads, whose synchronisation takes
        longer than the work where other processes are busy.

        Args:
            tile: logits of the rectangle, which must share at least one row with the windows.
            top: first row of the rectangle in the image.
            left: first column of the rectangle.
        """
        rows = self.rows.cut(top, top + len(tile))
        begin, end = int(rows.lower[0]), int(rows.upper[-1]) + 1
        maps = list(self.between(left, left + tile.shape[1]))
        cells = tile.new_empty(end - begin, *tile.shape[1:])  # (n, w, k)
        step, add = (1, add_one_by_one) if tile.device.type == "cpu" else (len(cells), add_at_once)
        for i in range(0, len(cells), step):
            stretch(maps, cells[i : i + step], begin + i, left)
        add(tile[rows.first - top : rows.last - top], cells, rows, begin)

    def between(self, left: int, right: int) -> Iterator[tuple[Samples, Tensor]]:
        """Samples and map of each window that covers columns from one up to another."""
        for samples, coarse in zip(self.columns, self.maps, strict=True):
            if samples.first < right and samples.last > left:
                yield samples.cut(left, right), coarse


def add_one_by_one(part: Float32[Tensor, "p w k"], cells: Float32[Tensor, "n w k"], rows: Samples, begin: int) -> None:
    """Add interpolated rows of cells to the rows of a rectangle, in steps that stay in a CPU's caches.

    Args:
        part: rows of the rectangle.
        cells: rows of cells.
        rows: samples of the rows.
        begin: index of the first row of cells in the maps.
    """
    steps = zip(part, *(values.tolist() for values in rows[1:]), strict=True)
    for row, lower, upper, near, far in steps:
        row.add_(cells[lower - begin], alpha=near).add_(cells[upper - begin], alpha=far)


def add_at_once(part: Float32[Tensor, "p w k"], cells: Float32[Tensor, "n w k"], rows: Samples, begin: int) -> None:
    """`add_one_by_one` in few steps, for a GPU, where each costs a kernel launch."""
    _, lower, upper, near, far = rows.to(part.device)
    part += cells[lower - begin] * near[:, None, None] + cells[upper - begin] * far[:, None, None]


def stretch(maps: Sequence[tuple[Samples, Tensor]], cells: Float32[Tensor, "n w k"], begin: int, left: int) -> None:
    """Write rows of cells, interpolated to the columns of a rectangle of the image.

    Args:
        maps: coarse maps, each with the samples of its columns.
        cells: tensor to write to.
        begin: index of the first row in the maps.
        left: first column of the rectangle.
    """
    cells.zero_()
    for columns, coarse in maps:
        part = slice(columns.first - left, columns.last - left)
        cells[:, part] += interpolate(coarse[begin : begin + len(cells)], columns)


def interpolate(coarse: Float[Tensor, "n c k"], columns: Samples) -> Float[Tensor, "n p k"]:
    """Interpolate coarse rows to the pixels of some columns."""
    lower, upper = coarse.index_select(1, columns.lower), coarse.index_select(1, columns.upper)
    return lower.mul_(columns.near[:, None]).add_(upper.mul_(columns.far[:, None]))
