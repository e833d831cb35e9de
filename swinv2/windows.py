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
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

Size = tuple[int, ...]
Window = int | Sequence[int] | Sequence[Sequence[int]]  # one number, one per axis, or one entry per stage
Group = tuple[Size, int]  # windows of one shape: (w1, …, wn) and how many


@dataclass(frozen=True, eq=False)
class Cut:
    """One way of cutting the grids of a batch into windows: an order of all its tokens.

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

    def parts(self, rows: int) -> Iterator[tuple[slice, "Cut"]]:
        """Runs of whole windows with at most `rows` tokens, if a window has no more: their places and their cut."""
        start = 0
        for groups in _runs(self.groups, rows):
            places = slice(start, start + sum(math.prod(shape) * count for shape, count in groups))
            yield places, Cut(groups, self.order[places], self.image[places], self.batch)
            start = places.stop


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


@dataclass(frozen=True, eq=False)
class Hop:
    """A permutation of tokens and its inverse."""

    there: Int[Tensor, " tokens"]
    back: Int[Tensor, " tokens"]

    @property
    def reverse(self) -> "Hop":
        """The way back."""
        return Hop(self.back, self.there)


@dataclass(frozen=True, eq=False)
class Route:
    """The cuts of one stage and the permutations that lead from the grid through them; None where tokens stay in place.

    Attributes:
        plain: the grid cut at multiples of the window.
        shifted: the grid cut half a window later.
        enter: from the grid to the plain cut.
        shift: from the plain to the shifted cut.
        unshift: from the shifted to the plain cut.
        leave: from the plain cut to the grid.
        leave_shifted: from the shifted cut to the grid.
    """

    plain: Cut
    shifted: Cut
    enter: Hop | None = None
    shift: Hop | None = None
    unshift: Hop | None = None
    leave: Hop | None = None
    leave_shifted: Hop | None = None


def route(batch: int, size: Size, window: Size, device: torch.device) -> Route:
    """How a batch of grids of one size is cut by a stage; remembered for the sizes seen last."""
    if torch.compiler.is_compiling():
        return _route(batch, size, window, device)
    with torch.inference_mode(False):  # what is remembered must serve training too
        return _remembered_route(batch, size, window, device)


def _route(batch: int, size: Size, window: Size, device: torch.device) -> Route:
    plain, shifted = (cut(batch, size, window, half, device) for half in (False, True))
    if all(s <= w for s, w in zip(size, window, strict=True)):  # a window holds the whole grid: no token ever moves
        return Route(plain, shifted)
    into, into_shifted = Hop(plain.order, _inverse(plain.order)), Hop(shifted.order, _inverse(shifted.order))
    over = Hop(into.back[shifted.order], into_shifted.back[plain.order])
    return Route(plain, shifted, into, over, over.reverse, into.reverse, into_shifted.reverse)


_remembered_route = lru_cache(maxsize=64)(_route)


def _inverse(order: Tensor) -> Tensor:
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(len(order), device=order.device)
    return inverse


class Reorder(torch.autograd.Function):
    """Permute tokens; the gradient goes back by the inverse permutation, not by a scatter."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Tensor, back: Tensor) -> Tensor:
        """Tokens (tokens, C) in another order."""
        ctx.save_for_backward(back)
        return x[there]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Gradients in the order that the tokens had."""
        (back,) = ctx.saved_tensors
        return grad[back], None, None


def reorder(x: Float[Tensor, "tokens c"], hop: Hop | None) -> Float[Tensor, "tokens c"]:
    """Tokens in another order."""
    return x if hop is None else Reorder.apply(x, hop.there, hop.back)


def cut(batch: int, size: Size, window: Size, shifted: bool, device: torch.device) -> Cut:
    """Cut grids into windows, at multiples of the window or, shifted, half a window later.

    Args:
        batch: number of grids.
        size: tokens of a grid along each axis.
        window: tokens of a window along each axis; an axis no longer than its window is neither cut nor shifted.
        shifted: whether to cut half a window later.
        device: where the order is kept.
    """
    tokens = math.prod(size)
    grid = torch.arange(batch * tokens, device=device).view(batch, *size)
    windows: dict[Size, list[Tensor]] = {}
    for runs in itertools.product(*(axis_runs(s, w, shifted) for s, w in zip(size, window, strict=True))):
        region = grid[:, *(slice(start, start + count * length) for start, count, length in runs)]
        shape = tuple(length for _, _, length in runs)
        windows.setdefault(shape, []).append(_blocks(region, shape).reshape(-1, math.prod(shape)))  # (windows, N)
    groups = tuple((shape, sum(len(w) for w in same_shape)) for shape, same_shape in windows.items())
    order = torch.cat([w.flatten() for same_shape in windows.values() for w in same_shape])
    return Cut(groups, order, order // tokens, batch)


def axis_runs(size: int, window: int, shifted: bool) -> list[tuple[int, int, int]]:
    """Runs (start, count, length) of equal segments along one axis: 20 in windows of 8 -> 8 8 4, shifted -> 4 8 8."""
    if size <= window:
        return [(0, 1, size)]
    head = window // 2 if shifted else 0
    whole, rest = divmod(size - head, window)
    runs = [(0, 1, head), (head, whole, window), (size - rest, 1, rest)]
    return [run for run in runs if run[1] * run[2] > 0]


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
