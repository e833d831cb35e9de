"""Tokens of a batch of grids in window order: windows of one shape together, window after window, without empty slots.

All of a block but attention treats tokens one by one, so a CPU takes them as the windows come, a few windows at a time.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from jaxtyping import Int
from torch import Tensor

from ...windows import Size, Windows

Group = tuple[Size, int]  # windows of one shape: (w1, …, wn) and how many


@dataclass(frozen=True, eq=False)
class Chunk:
    """Whole windows that are computed together.

    Attributes:
        groups: shape and number of the windows of each shape, in order.
        places: where their tokens stand in window order.
        tokens: which tokens of the batch these are; None where window order is the order of the grids.
        size: tokens of an image.
    """

    groups: tuple[Group, ...]
    places: slice
    tokens: Int[Tensor, " tokens"] | None
    size: int

    @property
    def image(self) -> Int[Tensor, " tokens"]:
        """The image that each token belongs to."""
        if self.tokens is None:
            return torch.arange(self.places.start, self.places.stop, device="cpu") // self.size
        return self.tokens // self.size

    @cached_property
    def inverse(self) -> Int[Tensor, " tokens"] | None:
        """Where each token of the batch stands, of a chunk that has them all; None where it stands there already."""
        with torch.inference_mode(False):  # what is kept must serve training, too
            return None if self.tokens is None else self.tokens.argsort()

    def take(self, x: Tensor) -> Tensor:
        """Its tokens of all tokens (tokens, C) of a batch."""
        return x[self.places] if self.tokens is None else x.index_select(0, self.tokens)

    def put_all(self, x: Tensor) -> Tensor:
        """Its tokens where they belong, of a chunk that has all of a batch."""
        return x if self.inverse is None else x.index_select(0, self.inverse)

    def put(self, x: Tensor, out: Tensor) -> None:
        """Write its tokens to where they belong among all of a batch."""
        if self.tokens is None:
            out[self.places] = x
        else:
            out.index_copy_(0, self.tokens, x)


def chunks(windows: Windows, batch: int, most: int) -> tuple[Chunk, ...]:
    """The windows of a batch in chunks of at most `most` tokens; the last results are cached.

    Args:
        windows: of one grid.
        batch: number of grids.
        most: tokens of a chunk; a window that has more is a chunk by itself.
    """
    with torch.inference_mode(False):  # what is remembered must serve training, too
        return _remembered(windows, batch, most)


def _chunks(windows: Windows, batch: int, most: int) -> tuple[Chunk, ...]:
    groups, tokens = _window_order(windows, batch)
    moved = None if torch.equal(tokens, torch.arange(len(tokens), device="cpu")) else tokens
    made, start = [], 0
    for some in _split(groups, most):
        places = slice(start, start + sum(math.prod(shape) * count for shape, count in some))
        made.append(Chunk(some, places, None if moved is None else moved[places], len(windows.slot)))
        start = places.stop
    return tuple(made)


_remembered = lru_cache(maxsize=128)(_chunks)


def _window_order(windows: Windows, batch: int) -> tuple[list[Group], Int[Tensor, " tokens"]]:
    """Shape and number of the windows of each shape in a batch, and its tokens in their order."""
    lengths = [start.diff() for start in windows.starts]  # of the segments of each axis
    grids = torch.arange(batch, device="cpu").view(-1, 1, 1) * len(windows.slot)
    groups, order = [], []
    for shape in itertools.product(*(sorted({*axis.tolist()}, reverse=True) for axis in lengths)):
        same = torch.ones((), dtype=torch.bool, device="cpu")
        for axis, length in zip(lengths, shape, strict=True):
            same = (same.unsqueeze(-1) & (axis == length)).flatten()  # (W,)
        tokens = windows.token[same][windows.filled[same]].view(int(same.sum()), -1)  # (windows, N)
        order.append((grids + tokens).flatten())
        groups.append((shape, batch * len(tokens)))
    return groups, torch.cat(order)


def _split(groups: Sequence[Group], most: int) -> Iterator[tuple[Group, ...]]:
    """Fill chunk after chunk with windows, in order."""
    chunk: list[Group] = []
    room = most
    for shape, count in groups:
        while count:
            fitting = min(count, max(room // math.prod(shape), 0 if chunk else 1))
            chunk += [(shape, fitting)] if fitting else []
            room -= fitting * math.prod(shape)
            count -= fitting
            if count:  # the chunk is full
                yield tuple(chunk)
                chunk, room = [], most
    yield tuple(chunk)
