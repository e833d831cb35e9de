"""Attention by the kernels and as the plain model computes it, on the same made numbers."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.gpu_checks.figure import Place
from swinv2.attention import window_attention
from swinv2.windows import Windows, cut

WIDTH = 32  # channels of a head
DTYPES = (torch.bfloat16, torch.float32, torch.float16)
LIMITS = {  # errors that are rounding, of results and of gradients, relative to their lengths
    torch.float32: (2e-5, 2e-4),
    torch.bfloat16: (1.5e-2, 3e-2),
    torch.float16: (2e-3, 4e-3),
}
ROW = 4  # times as far a single row may be


class Case(NamedTuple):
    """Attention in windows.

    Attributes:
        batch: images.
        grid: tokens along each axis.
        window: of a window.
        shifted: whether windows are cut half a window later.
        heads: of 32 channels.
    """

    batch: int
    grid: tuple[int, ...]
    window: tuple[int, ...]
    shifted: bool
    heads: int

    def __str__(self) -> str:
        grid, window = ("x".join(map(str, sizes)) for sizes in (self.grid, self.window))
        return f"{self.batch} images of {grid}, windows {window}{', shifted' * self.shifted}, {self.heads} heads"

    @property
    def tokens(self) -> int:
        """Tokens of the batch."""
        return self.batch * math.prod(self.grid)


CASES = (  # whole and partial windows, odd numbers of them, one to three axes, of one and of several tiles
    Case(2, (64, 64), (8, 8), False, 3),
    Case(2, (50, 84), (8, 8), True, 3),
    Case(3, (25, 42), (7, 7), True, 6),
    Case(1, (24, 24), (24, 24), False, 16),
    Case(3, (50, 41), (24, 24), True, 4),
    Case(2, (33, 70), (12, 12), True, 4),
    Case(2, (50, 84), (16, 16), True, 3),
    Case(1, (70, 67), (32, 32), True, 4),
    Case(1, (8, 20, 23), (8, 7, 7), True, 3),
    Case(2, (100,), (16,), True, 4),
    Case(2, (5, 6), (8, 8), True, 1),
    Case(1, (17, 9), (4, 4), True, 2),
)
TINY = (Case(1, (5, 7), (4, 4), True, 2), Case(1, (10, 11), (9, 9), True, 1))


def cases(place: Place) -> Sequence[Case]:
    """Those to be looked at."""
    return TINY if place.tiny else CASES


class Given(NamedTuple):
    """What attention is a function of, the gradient of its result, and the windows."""

    qkv: Tensor
    scale: Tensor
    bias: Tensor
    grad: Tensor
    windows: Windows


def given(place: Place, case: Case, dtype: torch.dtype) -> Given:
    """Made numbers, the same each time."""
    windows = cut(case.grid, case.window, case.shifted, place.device)
    slots = math.prod(windows.shape)
    made = torch.Generator(place.device).manual_seed(slots)

    def normal(*sizes: int) -> Tensor:
        return torch.randn(*sizes, device=place.device, generator=made)

    qkv, grad = (normal(case.batch, *case.grid, *rest) for rest in ((3, case.heads, WIDTH), (case.heads * WIDTH,)))
    scale, bias = 5 + 20 * normal(case.heads).abs(), 4 * normal(case.heads, slots, slots)
    return Given(qkv.to(dtype), scale, bias, grad.to(dtype), windows)


def by_kernels(numbers: Given, empty: Callable[..., Tensor] = torch.empty) -> list[Tensor]:
    """Result and gradients of queries, keys and values, of the scale and of the bias, whatever would be chosen.

    Args:
        numbers: what is given.
        empty: gives the arrays that are written.
    """
    from swinv2.engines.gpu.kernels.launch import backward

    qkv, scale, bias, grad, windows = numbers
    context, lse = forward(numbers, empty)
    grads = backward(grad, qkv, scale, bias, context, lse, windows.starts, windows.shape, empty=empty)
    return [context, *grads]


def forward(numbers: Given, empty: Callable[..., Tensor] = torch.empty) -> tuple[Tensor, Tensor]:
    """Result of the kernels, and what their backward pass needs; arguments as of `by_kernels`."""
    from swinv2.engines.gpu.kernels.launch import forward

    return forward(numbers.qkv, numbers.scale, numbers.bias, numbers.windows.starts, numbers.windows.shape, empty=empty)


def plain(qkv: Tensor, scale: Tensor, bias: Tensor, windows: Windows) -> Tensor:
    """What the plain model computes."""
    slots = windows.gather(qkv.flatten(-3).flatten(1, -2)).unflatten(-1, qkv.shape[-3:])
    context = window_attention(*slots.permute(3, 0, 1, 4, 2, 5), scale.view(-1, 1, 1), bias, windows.filled)
    return windows.scatter(context.transpose(2, 3).flatten(3).to(qkv.dtype)).view(*qkv.shape[:-3], -1)


def plainly(numbers: Given, dtype: torch.dtype | None = None) -> list[Tensor]:
    """Result and gradients of the plain model, in another type if one is given."""
    *inputs, grad = (x.detach().to(dtype or x.dtype) for x in numbers[:4])
    inputs = [x.requires_grad_() for x in inputs]
    result = plain(*inputs, numbers.windows)
    return [result.detach(), *torch.autograd.grad(result, inputs, grad.to(result.dtype))]
