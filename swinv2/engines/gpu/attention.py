"""Window attention by kernels, as an operator that autograd and torch.compile know; Triton is imported when it runs."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...windows import Windows
from ..base import no_second_derivative
from .sizes import DTYPES, SLOTS, SMALL, WIDTH

AXES = 3
FORWARD = "(Tensor qkv, Tensor scale, Tensor bias, Tensor[] starts, SymInt[] window) -> (Tensor, Tensor)"
BACKWARD = (
    "(Tensor grad, Tensor qkv, Tensor scale, Tensor bias, Tensor context, Tensor lse, Tensor[] starts, "
    "SymInt[] window) -> (Tensor, Tensor, Tensor)"
)


def window_attention(
    qkv: Float[Tensor, "b *grid 3 heads d"],
    scale: Float[Tensor, " heads"],
    bias: Float[Tensor, "heads n n"],
    windows: Windows,
) -> Float[Tensor, "b *grid c"]:
    """Scaled cosine attention (arXiv:2111.09883, eq. 2) of every token of a grid to those of its window, by kernels.

    Scores are in float32, products of 16-bit numbers where queries, keys and values are such. Gradients have the same
    bits in every run. There is no second derivative.

    Args:
        qkv: queries, keys and values.
        scale: 1 / tau of each head.
        bias: position bias of every pair of slots.
        windows: of the grid.

    Raises:
        ValueError: more axes, slots or channels, or another type, than the kernels take; or parts that do not fit.
    """
    unfit = unsupported(windows, qkv.shape[-1], qkv.dtype)
    slots = math.prod(windows.shape)
    if unfit is None and (
        math.prod(qkv.shape[1:-3]) != len(windows.slot) or bias.shape != (qkv.shape[-2], slots, slots)
    ):
        unfit = (
            f"qkv {tuple(qkv.shape)} and bias {tuple(bias.shape)} do not fit windows of {slots} slots in grids of "
            f"{len(windows.slot)} tokens; they are (batch, *grid, 3, heads, d) and (heads, slots, slots)"
        )
    if unfit is not None:
        raise ValueError(f"{unfit}.")
    context, _ = _attention(qkv, scale.float(), bias.float(), list(windows.starts), list(windows.shape))
    return context


def unsupported(windows: Windows, width: int, dtype: torch.dtype) -> str | None:
    """Why the kernels cannot take such windows, heads of `width` channels, or this type; None if they can."""
    slots = math.prod(windows.shape)
    limits = {
        "axes": (len(windows.shape), AXES),
        "slots in a window": (slots, SLOTS),
        "channels a head": (width, WIDTH),
    }
    for name, (given, most) in limits.items():
        if given > most:
            return f"the kernels take at most {most} {name}, got {given}"
    return None if dtype in DTYPES else f"the kernels take float32, bfloat16 and float16, got {dtype}"


@torch.library.custom_op("swinv2::grid_attention", mutates_args=(), schema=FORWARD)
def _attention(
    qkv: Tensor, scale: Tensor, bias: Tensor, starts: Sequence[Tensor], window: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Context, and the logarithm of the sum of the scores where the backward pass needs it."""
    from .launch import forward

    return forward(qkv.contiguous(), scale.contiguous(), bias.contiguous(), starts, window)


@torch.library.custom_op("swinv2::grid_attention_backward", mutates_args=(), schema=BACKWARD)
def _attention_backward(
    grad: Tensor,
    qkv: Tensor,
    scale: Tensor,
    bias: Tensor,
    context: Tensor,
    lse: Tensor,
    starts: Sequence[Tensor],
    window: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values, of the scale, and of the bias."""
    from .launch import backward

    grad, qkv, scale, bias = (tensor.contiguous() for tensor in (grad, qkv, scale, bias))
    return backward(grad, qkv, scale, bias, context, lse, starts, window)


@_attention.register_fake
def _(qkv: Tensor, scale: Tensor, bias: Tensor, starts: Any, window: Any) -> tuple[Tensor, Tensor]:
    context = qkv.new_empty((*qkv.shape[:-3], qkv.shape[-2] * qkv.shape[-1]))
    large = bias.shape[-1] > SMALL
    return context, scale.new_empty((*qkv.shape[:-3], qkv.shape[-2]) if large else (0,))


@_attention_backward.register_fake
def _(
    grad: Tensor, qkv: Tensor, scale: Tensor, bias: Tensor, context: Tensor, lse: Tensor, starts: Any, window: Any
) -> tuple[Tensor, Tensor, Tensor]:
    grad_qkv, grad_bias = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in (qkv, bias))
    return grad_qkv, torch.empty_like(scale), grad_bias


def _remember(ctx: Any, inputs: tuple, output: tuple) -> None:
    qkv, scale, bias, starts, window = inputs
    ctx.save_for_backward(qkv, scale, bias, *output, *starts)
    ctx.window = window


def _differentiate(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Any, ...]:
    qkv, scale, bias, context, lse, *starts = ctx.saved_tensors
    grads = _attention_backward(grad, qkv, scale, bias, context, lse, starts, ctx.window)
    return *grads, [None] * len(starts), None


_attention.register_autograd(_differentiate, setup_context=_remember)
_attention_backward.register_autograd(no_second_derivative)
