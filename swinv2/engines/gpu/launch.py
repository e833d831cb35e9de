"""Starting the attention kernels."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import attention_backward, attention_forward
from .sizes import SMALL, power_of_two, programs, tile


def forward(
    qkv: Tensor, scale: Tensor, bias: Tensor, starts: Sequence[Tensor], window: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Context, and the logarithm of the sum of the scores of windows that one tile does not hold."""
    heads, slots = qkv.shape[-2], math.prod(window)
    numbers, windows, sizes = _geometry(qkv, starts, window)
    part = tile(slots, qkv.shape[-1], qkv.dtype)
    options: dict[str, Any] = {**sizes, "num_warps": part.warps, "num_stages": part.stages}
    context = qkv.new_empty((*qkv.shape[:-3], heads * qkv.shape[-1]))
    with torch.cuda.device_of(qkv):
        if slots <= SMALL:
            grid = heads, programs(windows, heads, qkv.device)
            attention_forward.one_tile[grid](qkv, scale, bias, context, *numbers, ROWS=part.rows, **options)
            return context, scale.new_empty(0)
        lse = scale.new_empty((*qkv.shape[:-3], heads))
        rows = heads * math.ceil(slots / part.rows)
        grid = rows, programs(math.ceil(windows / 2), rows, qkv.device)
        attention_forward.two_windows[grid](
            qkv, scale, bias, context, lse, *numbers, ROWS=part.rows, COLUMNS=part.columns, **options
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
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values, of the scale, and of the bias."""
    heads, slots = qkv.shape[-2], math.prod(window)
    numbers, windows, sizes = _geometry(qkv, starts, window)
    part = tile(slots, qkv.shape[-1], qkv.dtype)
    options: dict[str, Any] = {**sizes, "ROWS": part.rows, "num_warps": part.warps, "num_stages": part.stages}
    grad_qkv = torch.empty_like(qkv)
    with torch.cuda.device_of(qkv):
        if slots <= SMALL:
            shared = programs(windows, heads, qkv.device)
            grad_scale, grad_bias = scale.new_empty(shared, heads), bias.new_empty(shared, *bias.shape)
            attention_backward.one_tile[heads, shared](
                qkv, scale, bias, grad, grad_qkv, grad_scale, grad_bias, *numbers, **options
            )
            return grad_qkv, grad_scale.sum(0), grad_bias.sum(0)
        options["COLUMNS"] = part.columns
        rows, columns = math.ceil(slots / part.rows), math.ceil(slots / part.columns)
        shared = programs(windows, heads * rows, qkv.device)
        grad_scale, delta = scale.new_empty(shared, rows, heads), torch.empty_like(lse)
        attention_backward.grad_queries[heads * rows, shared](
            qkv, scale, bias, context, lse, grad, grad_qkv, grad_scale, delta, *numbers, **options
        )
        attention_backward.grad_keys[heads * rows, shared](
            qkv, scale, bias, lse, grad, grad_qkv, delta, *numbers, **options
        )
        shared = programs(windows, heads * rows * columns, qkv.device)
        grad_bias = bias.new_empty(shared, *bias.shape)
        attention_backward.grad_position_bias[heads * rows, columns, shared](
            qkv, scale, bias, lse, grad, grad_bias, delta, *numbers, **options
        )
        return grad_qkv, grad_scale.sum((0, 1)), grad_bias.sum(0)


def _geometry(qkv: Tensor, starts: Sequence[Tensor], window: Sequence[int]) -> tuple[list, int, dict[str, int]]:
    """Arguments that all kernels have, how many windows there are, and sizes known when kernels are compiled."""
    axes, width = len(starts), qkv.shape[-1]
    missing = [1] * (3 - axes)  # axes at the front
    counts, sizes = [len(axis) - 1 for axis in starts], qkv.shape[1:-3]
    windows = qkv.shape[0] * math.prod(counts)
    numbers = [*missing, *counts, *missing, *sizes, math.prod(window), windows, qkv.shape[-2]]
    _, *sides = [*missing, *window]
    constants = {"AXES": axes, "WINDOW2": sides[0], "WINDOW3": sides[1], "D": width, "DEPTH": power_of_two(width)}
    return [*[starts[0]] * len(missing), *starts, *numbers], windows, constants
