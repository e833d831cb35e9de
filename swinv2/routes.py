"""The way of tokens through the cuts of a stage: from the grid to one window order, to the next, and back."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .engines import gpu as kernels
from .windows import Cut, Fit, GridCut, Size, cut, grid_cut


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

    plain: Cut | GridCut
    shifted: Cut | GridCut
    enter: Hop | None = None
    shift: Hop | None = None
    unshift: Hop | None = None
    leave: Hop | None = None
    leave_shifted: Hop | None = None

    def steps(self, blocks: int, shift: bool) -> list[tuple[Hop | None, Cut | GridCut]]:
        """How tokens come to each block, and how it cuts them.

        Args:
            blocks: number of blocks.
            shift: whether every second one cuts half a window later.
        """
        hops = (self.unshift, self.shift) if shift else (None, None)
        cuts = self.plain, self.shifted if shift else self.plain
        return [(hops[i % 2] if i else self.enter, cuts[i % 2]) for i in range(blocks)]


def route(batch: int, size: Size, window: Size, fit: Fit, device: torch.device) -> Route:
    """How a batch of grids of one size is cut by a stage; remembered for the sizes seen last."""
    if torch.compiler.is_compiling():
        return _grid_route(batch, size, window, fit, device)
    with torch.inference_mode(False):  # what is remembered must serve training too
        return _remembered_route(batch, size, window, fit, device)


def _grid_route(batch: int, size: Size, window: Size, fit: Fit, device: torch.device) -> Route:
    """No token moves: compiled code and kernels find the windows in the grid."""
    plain, shifted = (grid_cut(batch, size, window, half, fit, device) for half in (False, True))
    return Route(plain, shifted)


@lru_cache(maxsize=64)
def _remembered_route(batch: int, size: Size, window: Size, fit: Fit, device: torch.device) -> Route:
    if kernels.available(device):
        return _grid_route(batch, size, window, fit, device)
    plain, shifted = (cut(batch, size, window, half, fit, device) for half in (False, True))
    if all(s <= w for s, w in zip(size, window, strict=True)):  # a window holds the whole grid: no token ever moves
        return Route(plain, shifted)
    into, into_shifted = Hop(plain.order, _inverse(plain.order)), Hop(shifted.order, _inverse(shifted.order))
    over = Hop(into.back[shifted.order], into_shifted.back[plain.order])
    return Route(plain, shifted, into, over, over.reverse, into.reverse, into_shifted.reverse)


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
        return x.index_select(0, there)  # rows as they are; x[there] copies number by number, ten times slower

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Gradients in the order that the tokens had."""
        (back,) = ctx.saved_tensors
        return grad.index_select(0, back), None, None


def reorder(x: Float[Tensor, "tokens c"], hop: Hop | None) -> Float[Tensor, "tokens c"]:
    """Tokens in another order."""
    if hop is None:
        return x
    return Reorder.apply(x, hop.there, hop.back) if torch.is_grad_enabled() else x.index_select(0, hop.there)
