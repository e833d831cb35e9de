"""Starting the attention kernels."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from . import attention_backward, attention_forward
from .sizes import SMALL, power_of_two, programs, sums, tile

Empty = Callable[..., Tensor]  # torch.empty, or what gives such arrays within others


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
    numbers, windows, sizes = _geometry(qkv, starts, window)
    part = tile(slots, qkv.shape[-1], qkv.dtype)
    options: dict[str, Any] = {**sizes, "ROWS": part.rows, "num_warps": part.warps, "num_stages": part.stages}
    context = empty((*qkv.shape[:-3], heads * qkv.shape[-1]), dtype=qkv.dtype, device=device)
    lse = empty((*qkv.shape[:-3], heads) if slots > SMALL else (0,), dtype=torch.float32, device=device)
    if windows == 0:
        return context, lse
    with torch.cuda.device_of(qkv):
        if slots <= SMALL:
            grid = heads, programs(windows, heads, device)
            attention_forward.one_tile[grid](qkv, scale, bias, context, *numbers, **options)
        else:
            rows = heads * math.ceil(slots / part.rows)
            grid = rows, programs(math.ceil(windows / 2), rows, device)
            attention_forward.two_windows[grid](
                qkv, scale, bias, context, lse, *numbers, COLUMNS=part.columns, **options
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
    _, windows, _ = geometry = _geometry(qkv, starts, window)
    grad_qkv = empty(qkv.shape, dtype=qkv.dtype, device=qkv.device)
    if windows == 0:
        return grad_qkv, torch.zeros_like(scale), torch.zeros_like(bias) if wants_bias else bias.new_empty(0)
    way = _small_backward if math.prod(window) <= SMALL else _large_backward
    with torch.cuda.device_of(qkv):
        grad_scale, grad_bias = way(geometry, grad, qkv, scale, bias, context, lse, grad_qkv, wants_bias, empty)
        return grad_qkv, grad_scale.flatten(0, -2).sum(0), _sum(grad_bias) if wants_bias else grad_bias


def _small_backward(
    geometry: tuple[list, int, dict[str, Any]],
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
    """Gradients of the scale and of the bias, as sums of each program; writes `grad_qkv`."""
    numbers, windows, sizes = geometry
    heads, slots, _ = bias.shape
    part = tile(slots, qkv.shape[-1], qkv.dtype)
    shared = programs(windows, heads, qkv.device)
    like = {"dtype": torch.float32, "device": qkv.device}
    grad_scale = empty((shared, heads), **like)
    grad_bias = empty((shared, *bias.shape) if wants_bias else (0,), **like)
    options = {**sizes, "ROWS": part.rows, "num_warps": part.warps, "num_stages": part.stages}
    attention_backward.one_tile[heads, shared](
        qkv, scale, bias, grad, grad_qkv, grad_scale, grad_bias, *numbers, WANTS_BIAS=wants_bias, **options
    )
    return grad_scale, grad_bias


def _large_backward(
    geometry: tuple[list, int, dict[str, Any]],
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
    numbers, windows, sizes = geometry
    heads, slots, _ = bias.shape
    part = tile(slots, qkv.shape[-1], qkv.dtype)
    like = {"dtype": torch.float32, "device": qkv.device}
    options: dict[str, Any] = {**sizes, "ROWS": part.rows, "COLUMNS": part.columns}
    options |= {"num_warps": part.warps, "num_stages": part.stages}
    rows, columns = math.ceil(slots / part.rows), math.ceil(slots / part.columns)
    shared = programs(windows, heads * rows, qkv.device)
    grad_scale, delta = empty((shared, rows, heads), **like), empty(lse.shape, **like)
    attention_backward.grad_queries[heads * rows, shared](
        qkv, scale, bias, context, lse, grad, grad_qkv, grad_scale, delta, *numbers, **options
    )
    attention_backward.grad_keys[heads * rows, shared](
        qkv, scale, bias, lse, grad, grad_qkv, delta, *numbers, **options
    )
    if not wants_bias:
        return grad_scale, empty((0,), **like)
    shared = sums(programs(windows, heads * rows * columns, qkv.device), bias.numel())
    grad_bias = empty((shared, *bias.shape), **like)
    attention_backward.grad_position_bias[heads * rows, columns, shared](
        qkv, scale, bias, lse, grad, grad_bias, delta, *numbers, **options
    )
    return grad_scale, grad_bias


def _sum(parts: Tensor) -> Tensor:
    """The sum of what programs wrote, without a copy where there was one."""
    return parts[0] if len(parts) == 1 else parts.sum(0)


def _geometry(qkv: Tensor, starts: Sequence[Tensor], window: Sequence[int]) -> tuple[list, int, dict[str, Any]]:
    """Arguments that all kernels have, how many windows there are, and sizes known when kernels are compiled."""
    axes, width = len(starts), qkv.shape[-1]
    missing = [1] * (3 - axes)  # axes at the front
    counts, sizes = [len(axis) - 1 for axis in starts], qkv.shape[1:-3]
    windows = qkv.shape[0] * math.prod(counts)
    numbers = [*missing, *counts, *missing, *sizes, math.prod(window), windows, qkv.shape[-2]]
    _, *sides = [*missing, *window]
    constants = {"AXES": axes, "WINDOW2": sides[0], "WINDOW3": sides[1], "D": width, "DEPTH": power_of_two(width)}
    return [*[starts[0]] * len(missing), *starts, *numbers], windows, constants
