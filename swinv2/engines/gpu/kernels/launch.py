"""Starting the attention kernels."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import attention_backward, attention_forward
from .sizes import SUMMED, Tile, in_one_tile, power_of_two, precision, programs, sums, tile

Empty = Callable[..., Tensor]  # torch.empty, or what gives such arrays within others


class Call(NamedTuple):
    """What all kernels of one attention are started with.

    Attributes:
        arguments: where windows are, and how many there are.
        constants: sizes known when kernels are compiled.
        windows: of all images.
        tile: of scores.
    """

    arguments: list[Any]
    constants: dict[str, Any]
    windows: int
    tile: Tile

    def options(self) -> dict[str, Any]:
        """Sizes known when kernels are compiled, and how many threads and stages they have."""
        return {**self.constants, "ROWS": self.tile.rows, "num_warps": self.tile.warps, "num_stages": self.tile.stages}


def forward(
    qkv: Tensor,
    scale: Tensor,
    bias: Tensor,
    starts: Sequence[Tensor],
    window: Sequence[int],
    empty: Empty = torch.empty,
) -> tuple[Tensor, Tensor]:
    """Context, and the logarithm of the sum of the scores of windows that one tile does not hold.

    Args:
        qkv: queries, keys and values, (batch, *grid, 3, heads, d); contiguous, as all others.
        scale: 1 / tau of each head, float32.
        bias: position bias of every pair of slots, (heads, slots, slots), float32.
        starts: first token of each window, and the end, along each axis.
        window: slots along each axis.
        empty: gives the arrays that kernels write, as `torch.empty(size, dtype=…, device=…)` does.
    """
    heads, slots, device = qkv.shape[-2], math.prod(window), qkv.device
    small = in_one_tile(slots, qkv.shape[-1])
    context = empty((*qkv.shape[:-3], heads * qkv.shape[-1]), dtype=qkv.dtype, device=device)
    lse = empty((0,) if small else (*qkv.shape[:-3], heads), dtype=torch.float32, device=device)
    if qkv.numel() == 0:
        return context, lse
    call = _call(qkv, starts, window, precision(qkv.dtype))
    with torch.cuda.device_of(qkv):
        if small:
            grid = heads, programs(call.windows, heads, device)
            attention_forward.one_tile[grid](qkv, scale, bias, context, *call.arguments, **call.options())
        else:
            rows = heads * math.ceil(slots / call.tile.rows)
            grid = rows, programs(math.ceil(call.windows / 2), rows, device)
            attention_forward.two_windows[grid](
                qkv, scale, bias, context, lse, *call.arguments, COLUMNS=call.tile.columns, **call.options()
            )
    return context, lse


def backward(
    grad: Tensor,
    qkv: Tensor,
    scale: Tensor,
    bias: Tensor,
    context: Tensor,
    lse: Tensor,
    starts: Sequence[Tensor],
    window: Sequence[int],
    wants_bias: bool = True,
    empty: Empty = torch.empty,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values, of the scale, and of the bias.

    Args:
        grad: gradient of the context.
        qkv: what `forward` was given, as scale, bias, starts, window and empty.
        scale: see `forward`.
        bias: see `forward`.
        context: what `forward` gave.
        lse: what `forward` gave.
        starts: see `forward`.
        window: see `forward`.
        wants_bias: whether the gradient of the bias is computed; if not, it has no numbers.
        empty: see `forward`.
    """
    grad_qkv = empty(qkv.shape, dtype=qkv.dtype, device=qkv.device)
    if qkv.numel() == 0:
        return grad_qkv, torch.zeros_like(scale), torch.zeros_like(bias) if wants_bias else bias.new_empty(0)
    with torch.cuda.device_of(qkv):
        if in_one_tile(math.prod(window), qkv.shape[-1]):
            call = _call(qkv, starts, window, "ieee" if qkv.dtype == torch.float32 else precision(qkv.dtype))
            grads = _small_backward(call, grad, qkv, scale, bias, grad_qkv, wants_bias, empty)
        else:
            call = _call(qkv, starts, window, precision(qkv.dtype))
            grads = _large_backward(call, grad, qkv, scale, bias, context, lse, grad_qkv, wants_bias, empty)
    return grad_qkv, *grads


def _small_backward(
    call: Call,
    grad: Tensor,
    qkv: Tensor,
    scale: Tensor,
    bias: Tensor,
    grad_qkv: Tensor,
    wants_bias: bool,
    empty: Empty,
) -> tuple[Tensor, Tensor]:
    """Gradients of the scale and of the bias; writes `grad_qkv`. In float32 without TF32, which would spill."""
    heads, slots, _ = bias.shape
    shared, side = programs(call.windows, heads, qkv.device, SUMMED), call.tile.rows
    grad_scale = empty((shared, heads), dtype=torch.float32, device=qkv.device)
    grad_bias = empty((shared, heads, side, side) if wants_bias else (0,), dtype=torch.float32, device=qkv.device)
    options = {**call.options(), "WANTS_BIAS": wants_bias}
    attention_backward.one_tile[heads, shared](
        qkv, scale, bias, grad, grad_qkv, grad_scale, grad_bias, *call.arguments, **options
    )
    return grad_scale.sum(0), grad_bias[..., :slots, :slots].sum(0) if wants_bias else grad_bias


def _large_backward(
    call: Call,
    grad: Tensor,
    qkv: Tensor,
    scale: Tensor,
    bias: Tensor,
    context: Tensor,
    lse: Tensor,
    grad_qkv: Tensor,
    wants_bias: bool,
    empty: Empty,
) -> tuple[Tensor, Tensor]:
    """The same for windows that one tile does not hold."""
    (heads, slots, _), like = bias.shape, {"dtype": torch.float32, "device": qkv.device}
    options = {**call.options(), "COLUMNS": call.tile.columns}
    rows, columns = math.ceil(slots / call.tile.rows), math.ceil(slots / call.tile.columns)
    shared = programs(call.windows, heads * rows, qkv.device)
    grad_scale, delta = empty((shared, rows, heads), **like), empty(lse.shape, **like)
    attention_backward.grad_queries[heads * rows, shared](
        qkv, scale, bias, context, lse, grad, grad_qkv, grad_scale, delta, *call.arguments, **options
    )
    attention_backward.grad_keys[heads * rows, shared](
        qkv, scale, bias, lse, grad, grad_qkv, delta, *call.arguments, **options
    )
    shared = sums(programs(call.windows, heads * rows * columns, qkv.device), bias.numel())
    grad_bias = empty((shared, *bias.shape) if wants_bias else (0,), **like)
    if wants_bias:
        attention_backward.grad_position_bias[heads * rows, columns, shared](
            qkv, scale, bias, lse, grad, grad_bias, delta, *call.arguments, **options
        )
        grad_bias = grad_bias.sum(0) if shared > 1 else grad_bias[0]  # which may be of gigabytes
    return grad_scale.sum((0, 1)), grad_bias


def _call(qkv: Tensor, starts: Sequence[Tensor], window: Sequence[int], products: str) -> Call:
    """What kernels are started with, for a precision of products."""
    axes, width, slots = len(starts), qkv.shape[-1], math.prod(window)
    missing = [1] * (3 - axes)  # axes at the front
    counts, sizes = [len(axis) - 1 for axis in starts], qkv.shape[1:-3]
    windows = qkv.shape[0] * math.prod(counts)
    arguments = [
        *[starts[0]] * len(missing),
        *starts,
        *missing,
        *counts,
        *missing,
        *sizes,
        slots,
        windows,
        qkv.shape[-2],
    ]
    constants = {"AXES": axes, "D": width, "DEPTH": power_of_two(width), "PRECISION": products}
    _, *sides = [*missing, *window]
    if in_one_tile(slots, width):
        constants |= {"WINDOW2": sides[0], "WINDOW3": sides[1]}
    else:
        arguments += sides
    return Call(arguments, constants, windows, tile(slots, width, qkv.dtype, products))
