"""Window attention by kernels, as an operator that autograd and torch.compile know; Triton is imported when it runs."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...windows import GridCut
from . import available, plain
from .sizes import DTYPES, SMALL

AXES = 3
SLOTS = 1024
WIDTH = 128
FORWARD = "(Tensor qkv, Tensor scale, Tensor bias, Tensor[] starts, SymInt[] window) -> (Tensor, Tensor)"
BACKWARD = (
    "(Tensor slope, Tensor qkv, Tensor scale, Tensor bias, Tensor context, Tensor lse, Tensor[] starts, "
    "SymInt[] window) -> (Tensor, Tensor, Tensor)"
)


def grid_attention(
    qkv: Float[Tensor, "b *grid 3 heads d"],
    scale: Float[Tensor, " heads"],
    bias: Float[Tensor, "heads n n"],
    cut: GridCut,
) -> Float[Tensor, "b *grid c"]:
    """Scaled cosine attention of every token to those of its window, by kernels where they can; see `plain`."""
    if available(qkv.device) and _misfit(qkv, bias, cut) is None:
        return fused_grid_attention(qkv, scale, bias, cut)
    return plain.grid_attention(qkv, scale, bias, cut)


def fused_grid_attention(
    qkv: Float[Tensor, "b *grid 3 heads d"],
    scale: Float[Tensor, " heads"],
    bias: Float[Tensor, "heads n n"],
    cut: GridCut,
) -> Float[Tensor, "b *grid c"]:
    """The same by kernels: scores in float32, products of 16-bit numbers where queries, keys and values are such.

    Gradients have the same bits in every run. There is no second derivative.

    Raises:
        ValueError: more axes, slots or channels, or another type, than the kernels take; or parts that do not fit.
    """
    if (misfit := _misfit(qkv, bias, cut)) is not None:
        raise ValueError(misfit)
    context, _ = _attention(qkv, scale.float(), bias.float(), list(cut.starts), list(cut.window))
    return context


def _misfit(qkv: Tensor, bias: Tensor, cut: GridCut) -> str | None:
    """Why the kernels cannot take this."""
    slots, width = math.prod(cut.window), qkv.shape[-1]
    limits = {"axes": (len(cut.size), AXES), "slots in a window": (slots, SLOTS), "channels a head": (width, WIDTH)}
    for name, (given, most) in limits.items():
        if given > most:
            return f"the kernels take at most {most} {name}, got {given}; use swinv2.engines.gpu.plain."
    if qkv.dtype not in DTYPES:
        return f"the kernels take float32, bfloat16 and float16, got {qkv.dtype}; use swinv2.engines.gpu.plain."
    if qkv.shape[:-3] != (cut.batch, *cut.size) or bias.shape != (qkv.shape[-2], slots, slots):
        return (
            f"qkv {tuple(qkv.shape)} and bias {tuple(bias.shape)} do not fit windows of {slots} slots in "
            f"{cut.batch} grids of {tuple(cut.size)}; they are (batch, *grid, 3, heads, d) and (heads, slots, slots)."
        )
    return None


@torch.library.custom_op("swinv2::grid_attention", mutates_args=(), schema=FORWARD)
def _attention(
    qkv: Tensor, scale: Tensor, bias: Tensor, starts: Sequence[Tensor], window: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Context, and the logarithm of the sum of the scores where the backward pass needs it."""
    from .launch import forward

    return forward(qkv.contiguous(), scale.contiguous(), bias.contiguous(), starts, window)


@torch.library.custom_op("swinv2::grid_attention_backward", mutates_args=(), schema=BACKWARD)
def _attention_backward(
    slope: Tensor,
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

    slope, qkv, scale, bias = (tensor.contiguous() for tensor in (slope, qkv, scale, bias))
    return backward(slope, qkv, scale, bias, context, lse, starts, window)


@_attention.register_fake
def _(qkv: Tensor, scale: Tensor, bias: Tensor, starts: Any, window: Any) -> tuple[Tensor, Tensor]:
    context = qkv.new_empty((*qkv.shape[:-3], qkv.shape[-2] * qkv.shape[-1]))
    large = bias.shape[-1] > SMALL
    return context, scale.new_empty((*qkv.shape[:-3], qkv.shape[-2]) if large else (0,))


@_attention_backward.register_fake
def _(
    slope: Tensor, qkv: Tensor, scale: Tensor, bias: Tensor, context: Tensor, lse: Tensor, starts: Any, window: Any
) -> tuple[Tensor, Tensor, Tensor]:
    of_qkv, of_bias = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in (qkv, bias))
    return of_qkv, torch.empty_like(scale), of_bias


def _remember(ctx: Any, inputs: tuple, output: tuple) -> None:
    qkv, scale, bias, starts, window = inputs
    ctx.save_for_backward(qkv, scale, bias, *output, *starts)
    ctx.window = window


def _differentiate(ctx: Any, slope: Tensor, _: Tensor) -> tuple[Any, ...]:
    qkv, scale, bias, context, lse, *starts = ctx.saved_tensors
    slopes = _attention_backward(slope, qkv, scale, bias, context, lse, starts, ctx.window)
    return *slopes, [None] * len(starts), None


_attention.register_autograd(_differentiate, setup_context=_remember)
