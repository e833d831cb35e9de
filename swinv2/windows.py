"""Cutting an N-D grid of tokens into windows, as an order of its tokens.

Everything in a Swin block but attention treats tokens one by one, so tokens may lie in any order. A `Cut` puts the
tokens of a whole batch in window order: windows of one shape together, window after window. Shifted windows are cut
half a window later, not rolled: border windows are smaller, nothing is padded, nothing is masked, nothing wraps round.
This equals the cyclic shift with its mask (arXiv:2103.14030, section 3.2).

Shapes: B images, S = S1·…·Sn tokens of one image's grid (n = 2: H·W, n = 3: T·H·W), N = w1·…·wn tokens of a window.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

Size = tuple[int, ...]
Window = int | Sequence[int] | Sequence[Sequence[int]]  # one number, one per axis, or one entry per stage
Fit = Literal["fixed", "balanced"]  # how windows share an axis that is no multiple of the window
Group = tuple[Size, int]  # windows of one shape: (w1, …, wn) and how many


@dataclass(frozen=True, eq=False)
class Cut:
    """The grids of a batch cut into windows, as an order of all its tokens.

    Attributes:
        groups: shape and number of the windows of each shape, in order.
        order: the token of the grids, counted through the batch, that stands at each place.
        image: the image that the token at each place belongs to.
        batch: number of images.
    """

    groups: tuple[Group, ...]
    order: Int[Tensor, " tokens"]
    image: Int[Tensor, " tokens"]
    batch: int

    @property
    def shapes(self) -> list[Size]:
        """Shapes of the windows, one of each group."""
        return [shape for shape, _ in self.groups]

    def parts(self, rows: int) -> Iterator[tuple[slice, "Cut"]]:
        """Runs of whole windows with at most `rows` tokens, if a window has no more: their places and their cut."""
        start = 0
        for groups in _runs(self.groups, rows):
            places = slice(start, start + sum(math.prod(shape) * count for shape, count in groups))
            yield places, Cut(groups, self.order[places], self.image[places], self.batch)
            start = places.stop


@dataclass(frozen=True, eq=False)
class GridCut:
    """The grids of a batch cut into windows, whose tokens stay in the order of the grids.

    A window is the product of one segment of each axis. Its tokens have their places in a tile of N = w1·…·wn slots by
    their offsets from the segments' starts; slots beyond short segments are empty. Offsets between slots are those
    between tokens, so that one bias (heads, N, N) serves all windows.

    Attributes:
        batch: number of grids.
        size: tokens of a grid along each axis.
        window: slots of the tile along each axis, as many as the longest segment has tokens.
        starts: for each axis, where its segments start, and the axis' end.
    """

    batch: int
    size: Size
    window: Size
    starts: tuple[Int[Tensor, " _"], ...]

    @property
    def shapes(self) -> list[Size]:
        """Shape of the tile, whose bias is all that the windows need."""
        return [self.window]

    @property
    def image(self) -> Int[Tensor, " tokens"]:
        """The image that each token belongs to."""
        tokens = math.prod(self.size)
        return torch.arange(self.batch * tokens, device=self.starts[0].device) // tokens


def _runs(groups: Sequence[Group], rows: int) -> Iterator[tuple[Group, ...]]:
    """Fill run after run with windows, in order."""
    run: list[Group] = []
    room = rows
    for shape, count in groups:
        while count:
            fitting = min(count, max(room // math.prod(shape), 0 if run else 1))
            run += [(shape, fitting)] if fitting else []
            room -= fitting * math.prod(shape)
            count -= fitting
            if count:  # the run is full
                yield tuple(run)
                run, room = [], rows
    yield tuple(run)


def cut(batch: int, size: Size, window: Size, shifted: bool, fit: Fit, device: torch.device) -> Cut:
    """Cut grids into windows, the tokens in window order.

    Args:
        batch: number of grids.
        size: tokens of a grid along each axis.
        window: tokens of a window along each axis, at most.
        shifted: whether to cut half a window later.
        fit: how windows share an axis that is no multiple of the window, see `axis_starts`.
        device: where the order is kept.
    """
    tokens = math.prod(size)
    grid = torch.arange(batch * tokens, device=device).view(batch, *size)
    windows: dict[Size, list[Tensor]] = {}
    for runs in itertools.product(*(axis_runs(s, w, shifted, fit) for s, w in zip(size, window, strict=True))):
        region = grid[:, *(slice(start, start + count * length) for start, count, length in runs)]
        shape = tuple(length for _, _, length in runs)
        windows.setdefault(shape, []).append(_blocks(region, shape).reshape(-1, math.prod(shape)))  # (windows, N)
    groups = tuple((shape, sum(len(w) for w in same_shape)) for shape, same_shape in windows.items())
    order = torch.cat([w.flatten() for same_shape in windows.values() for w in same_shape])
    return Cut(groups, order, order // tokens, batch)


def grid_cut(batch: int, size: Size, window: Size, shifted: bool, fit: Fit, device: torch.device) -> GridCut:
    """The same windows as `cut`, for tokens that stay in the order of the grid; arguments as there."""
    starts = tuple(axis_starts(s, w, shifted, fit, device) for s, w in zip(size, window, strict=True))
    return GridCut(batch, size, tuple(_longest(s, w, fit) for s, w in zip(size, window, strict=True)), starts)


def axis_starts(size: int, window: int, shifted: bool, fit: Fit, device: torch.device) -> Int[Tensor, " starts"]:
    """Where the segments along one axis start, and the axis' end; an axis no longer than its window is one segment.

    Fixed, 20 in windows of 8 is cut at 8 and 16, and at 4 and 12 when shifted. Balanced, as many segments are as long
    as each other (50 in windows of 16: 13 13 12 12), and shifted cuts go through their middles: no thin remnants.
    """
    if size <= window:
        return torch.arange(2, dtype=torch.int32, device=device) * size
    if fit == "fixed" or window == 1:
        head = (window // 2 if shifted else 0) or window
        places = torch.arange((size - head + window - 1) // window + 2, dtype=torch.int32, device=device)
        return (places * window - (window - head)).clamp(0, size)
    count = (size + window - 1) // window
    places = torch.arange(count + 1, dtype=torch.int32, device=device)
    starts = places * (size // count) + places.clamp(max=size % count)
    return starts if not shifted else torch.cat([starts[:1], (starts[1:] + starts[:-1]) // 2, starts[-1:]])


def axis_runs(size: int, window: int, shifted: bool, fit: Fit) -> list[tuple[int, int, int]]:
    """Runs (start, count, length) of equal segments along one axis: 20 in windows of 8 -> 8 8 4, shifted -> 4 8 8."""
    starts = axis_starts(size, window, shifted, fit, torch.device("cpu")).tolist()
    runs = []
    for length, segments in itertools.groupby(itertools.pairwise(starts), lambda segment: segment[1] - segment[0]):
        same = list(segments)
        runs.append((same[0][0], len(same), length))
    return runs


def _longest(size: int, window: int, fit: Fit) -> int:
    """Longest segment of an axis."""
    if size <= window:
        return size
    count = (size + window - 1) // window
    return window if fit == "fixed" else (size + count - 1) // count


def _blocks(x: Tensor, shape: Size) -> Tensor:
    """(B, S1, …, Sn) -> (B, S1/w1, …, Sn/wn, w1, …, wn)."""
    for axis, length in enumerate(shape):
        x = x.unflatten(1 + 2 * axis, (-1, length))
    n = len(shape)
    return x.permute(0, *range(1, 2 * n, 2), *range(2, 2 * n + 1, 2))


def window_per_stage(window: Window, stages: int, axes: int, name: str) -> list[Size]:
    """Window of each stage along each axis, from one number, one a axis, one a stage, or one a stage and axis.

    Args:
        window: the window, in tokens; where there are as many stages as axes, a flat list means axes.
        stages: number of stages.
        axes: number of axes.
        name: what to call the window in an error.

    Raises:
        ValueError: the numbers fit neither the axes nor the stages, or are not positive.
    """
    entries: list[Any] = [window] * axes if isinstance(window, int) else list(window)
    sizes: list[Size] = [(entry,) * axes if isinstance(entry, int) else tuple(entry) for entry in entries]
    if len(entries) == axes and all(isinstance(entry, int) for entry in entries):
        sizes = [tuple(size[0] for size in sizes)] * stages
    if len(sizes) != stages or any(len(size) != axes for size in sizes):
        example = {1: "(8,)", 2: "(8, 8)", 3: "(8, 7, 7)"}.get(axes, f"{axes} numbers")
        kind = {2: "image ", 3: "video "}.get(axes, "")
        raise ValueError(
            f"{name} needs one number per axis, got {tuple(entries)} for a {axes}-axis {kind}model with {stages} "
            f"stages; use e.g. {example}, or one entry per stage."
        )
    if any(w < 1 for size in sizes for w in size):
        raise ValueError(f"{name} needs positive numbers of tokens, got {tuple(entries)}; use e.g. 8.")
    return sizes
