"""Where the windows of a grid of tokens are.

Each axis is cut into segments; a window is the product of one segment of each axis. Shifted windows are cut half a
window later (arXiv:2103.14030, section 3.2), smaller at borders; this equals the cyclic shift with its mask.

Shapes: B images, S = S1·…·Sn tokens of one image's grid (n = 2: H·W, n = 3: T·H·W), W windows of N = w1·…·wn slots.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Size = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Windows:
    """A grid cut into windows, each with as many slots as the largest; smaller ones leave slots empty.

    Attributes:
        shape: slots of a window along each axis.
        token: the token in each slot; token 0 in an empty one.
        filled: whether a slot has a token.
        slot: the slot of each token, counted through all windows.
        starts: for each axis, where its segments start, and the axis' end.
        shifted: whether it was cut half a window later.
    """

    shape: Size
    token: Int[Tensor, "windows n"]
    filled: Bool[Tensor, "windows n"]
    slot: Int[Tensor, " tokens"]
    starts: tuple[Int[Tensor, " _"], ...]
    shifted: bool

    def gather(self, x: Float[Tensor, "b tokens c"]) -> Float[Tensor, "b windows n c"]:
        """Tokens into the slots of the windows; zeros in empty slots."""
        found = Take.apply(x, self.token.flatten(), self.slot)  # (B, W·N, C)
        return torch.where(self.filled.unsqueeze(-1), found.unflatten(1, self.token.shape), 0)  # NaN stays where it is

    def scatter(self, x: Float[Tensor, "b windows n c"]) -> Float[Tensor, "b tokens c"]:
        """Slots back to tokens."""
        x = torch.where(self.filled.unsqueeze(-1), x, 0)  # so that gradients of empty slots are zero, too
        return Take.apply(x.flatten(1, 2), self.slot, self.token.flatten())


class Take(torch.autograd.Function):
    """Rows by an index; as each is wanted once, gradients go back by the inverse index, not by adding up."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        """Rows (B, index, C) of (B, rows, C)."""
        return x.index_select(1, index)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        """Keep the inverse."""
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Gradients of the rows."""
        return grad.index_select(1, *ctx.saved_tensors), None, None


def cut(size: Sequence[Any], window: Size, shifted: bool, device: torch.device) -> Windows:
    """Cut a grid into windows; what was cut last is remembered.

    Args:
        size: tokens of the grid along each axis.
        window: slots of a window along each axis, at most.
        shifted: whether to cut half a window later.
        device: where the result is kept.
    """
    if is_transformed():
        return _cut.__wrapped__(tuple(size), window, shifted, device)
    with torch.inference_mode(False):  # a result that is remembered must serve training, too
        return _cut(tuple(map(int, size)), window, shifted, device)  # while a model is traced they are tensors


@lru_cache(maxsize=128)
def _cut(size: Size, window: Size, shifted: bool, device: torch.device) -> Windows:
    shape = tuple(min(s, w) for s, w in zip(size, window, strict=True))
    starts = tuple(axis_starts(s, w, shifted, device) for s, w in zip(size, window, strict=True))
    number, offset = torch.zeros(2, 1, dtype=torch.int64, device=device)  # of window and slot, axis by axis
    for s, w, start in zip(size, shape, starts, strict=True):
        place = torch.arange(s, dtype=start.dtype, device=device)
        segment = torch.bucketize(place, start[1:], right=True)
        number = (number.unsqueeze(1) * (len(start) - 1) + segment).flatten()
        offset = (offset.unsqueeze(1) * w + place - start[segment]).flatten()
    slots = math.prod(shape)
    slot = number * slots + offset  # (S,)
    token = slot.new_full((math.prod([len(start) - 1 for start in starts]), slots), -1)  # (W, N)
    token.view(-1)[slot] = torch.arange(len(slot), device=device)
    return Windows(shape, token.clamp(min=0), token >= 0, slot, starts, shifted)


def is_transformed() -> bool:
    """Whether tensors are not plain ones (compiled, fake, of `torch.func`), so that none may be kept."""
    functional = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    return functional or torch._C._len_torch_dispatch_stack() > 0


def axis_starts(size: int, window: int, shifted: bool, device: torch.device) -> Int[Tensor, " starts"]:
    """Where the segments of an axis start, and its end: 20 in windows of 8 -> 0 8 16 20; shifted -> 0 4 12 20.

    An axis no longer than its window is one segment.
    """
    if size <= window:
        return torch.arange(2, dtype=torch.int32, device=device) * size
    head = (window // 2 if shifted else 0) or window  # length of the first segment
    places = torch.arange((size - head + window - 1) // window + 2, dtype=torch.int32, device=device)
    return (places * window - (window - head)).clamp(0, size)
