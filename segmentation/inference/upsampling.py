"""From the coarse maps of overlapping windows to the pixels of an image, one rectangle of it at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor


class Samples(NamedTuple):
    """How the pixels that a window covers along one axis are put together from the cells of its coarse map.

    Attributes:
        first: the first of the pixels; the others follow one by one.
        lower: for each pixel the cell whose centre lies before its own.
        upper: the cell after that.
        near: what the lower cell counts.
        far: what the upper one counts.
    """

    first: int
    lower: Int64[Tensor, "p"]
    upper: Int64[Tensor, "p"]
    near: Float32[Tensor, "p"]
    far: Float32[Tensor, "p"]

    @property
    def last(self) -> int:
        """The first pixel that is no longer covered."""
        return self.first + len(self.lower)

    def to(self, device: torch.device) -> "Samples":
        """The same on another device."""
        return Samples(self.first, *(values.to(device) for values in self[1:]))

    def cut(self, start: int, end: int) -> "Samples":
        """Those of the pixels that lie from a start up to an end, possibly none."""
        start, end = max(start, self.first), min(end, self.last)
        part = slice(start - self.first, max(end, start) - self.first)
        return Samples(start, *(values[part] for values in self[1:]))


@dataclass(frozen=True)
class Axis:
    """One axis of an image, and of the copy of it, as long or resized, on which windows lie.

    Args:
        pixels: length of the image.
        length: that of the copy.
        window: that of a window, in pixels of the copy.
        starts: where the windows begin, in pixels of the copy.
    """

    pixels: int
    length: int
    window: int
    starts: Sequence[int]

    def covered(self, start: int) -> tuple[int, int]:
        """The first pixel of the image whose centre lies in a window, and the first after it that does not."""
        first, last = (self._from(edge) for edge in (start, start + self.window))
        return first, last

    @cached_property
    def counts(self) -> Int64[Tensor, "p"]:
        """For each pixel of the image the number of windows that cover it."""
        counts = torch.zeros(self.pixels, dtype=torch.int64)
        for start in self.starts:
            counts[slice(*self.covered(start))] += 1
        return counts

    def samples(self, start: int, cells: int) -> Samples:
        """How the pixels of the image take their share from a window: that of bilinear interpolation in a mean.

        As in `F.interpolate` with `align_corners=False`, cells are spread evenly over the window, and beyond the centre
        of the outermost its value stays. The weights are divided by the number of windows over the pixel.

        Args:
            start: of the window.
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
        """The first pixel of the image whose centre does not lie before a place in the copy; exact in whole numbers."""
        return -((self.length - 2 * edge * self.pixels) // (2 * self.length))  # ceil(edge * pixels / length - 1/2)


class Strip(NamedTuple):
    """Coarse maps of the windows that lie side by side, and which pixels of the image they stand for.

    Attributes:
        rows: those of all the windows.
        columns: those of each window.
        maps: the logits of each window, channels last.
    """

    rows: Samples
    columns: list[Samples]
    maps: list[Float32[Tensor, "n_h n_w k"]]

    def add_to(self, tile: Float32[Tensor, "h w k"], top: int, left: int) -> None:
        """Add what these windows contribute to the logits of a rectangle of the image.

        Columns first: that leaves the greater part of the work, the rows, to sums of whole rows. On a CPU the columns
        are done row by row as well: no step is then so large that PyTorch starts threads, whose meeting after each
        takes longer than the work itself where other processes are busy.

        Args:
            tile: the logits of the rectangle, which must share at least one row with the windows.
            top: row of the image where it begins.
            left: its first column.
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
        """The windows' maps and what they cover of the columns from one up to another, without windows elsewhere."""
        for samples, coarse in zip(self.columns, self.maps, strict=True):
            if samples.first < right and samples.last > left:
                yield samples.cut(left, right), coarse


def add_one_by_one(part: Float32[Tensor, "p w k"], cells: Float32[Tensor, "n w k"], rows: Samples, begin: int) -> None:
    """Add cells to the rows of a rectangle that they stand for, in steps that stay in a CPU's caches.

    Args:
        part: the rows.
        cells: what is added.
        rows: how the rows are put together from cells.
        begin: number of the first of the cells.
    """
    steps = zip(part, *(values.tolist() for values in rows[1:]), strict=True)
    for row, lower, upper, near, far in steps:
        row.add_(cells[lower - begin], alpha=near).add_(cells[upper - begin], alpha=far)


def add_at_once(part: Float32[Tensor, "p w k"], cells: Float32[Tensor, "n w k"], rows: Samples, begin: int) -> None:
    """The same in few steps, each of which costs a GPU its start."""
    _, lower, upper, near, far = rows.to(part.device)
    part += cells[lower - begin] * near[:, None, None] + cells[upper - begin] * far[:, None, None]


def stretch(maps: Sequence[tuple[Samples, Tensor]], cells: Float32[Tensor, "n w k"], begin: int, left: int) -> None:
    """Write rows of cells at the columns of a rectangle of the image.

    Args:
        maps: coarse maps, each with the columns that it covers.
        cells: where to write.
        begin: the first of the rows in the maps.
        left: first column of the rectangle.
    """
    cells.zero_()
    for columns, coarse in maps:
        part = slice(columns.first - left, columns.last - left)
        cells[:, part] += interpolate(coarse[begin : begin + len(cells)], columns)


def interpolate(coarse: Float[Tensor, "n c k"], columns: Samples) -> Float[Tensor, "n p k"]:
    """Values at the pixels of some columns."""
    lower, upper = coarse.index_select(1, columns.lower), coarse.index_select(1, columns.upper)
    return lower.mul_(columns.near[:, None]).add_(upper.mul_(columns.far[:, None]))
