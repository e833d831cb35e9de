"""Starting the kernels of the ends of branches."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import norm_kernels
from .sizes import SUMMED, power_of_two, programs, promoted

NUMBERS = 2048  # of a tile, as long as a row is no longer


def add_norm(
    x: Tensor,
    branch: Tensor,
    weight: Tensor,
    bias: Tensor,
    drop_path_scale: Tensor,
    eps: float,
    empty: Callable[..., Tensor] = torch.empty,
) -> Tensor:
    """The sum x + drop_path_scale · LayerNorm(branch).

    Args:
        x: tokens, image after image; contiguous, as all others.
        branch: what is normalised and added.
        weight: gain of the normalisation.
        bias: offset of the normalisation.
        drop_path_scale: by what the branch of each image is multiplied, in float32; none for no such factors.
        eps: what is added to the variance.
        empty: gives the arrays that kernels write, as `torch.empty(size, dtype=…, device=…)` does.
    """
    out = empty(x.shape, dtype=promoted(x, branch, weight), device=x.device)
    if x.numel() == 0:
        return out
    numbers, sizes = _sizes(x, drop_path_scale)
    with torch.cuda.device_of(x):
        grid = (math.ceil(numbers[0] / sizes["ROWS"]),)
        norm_kernels.forward[grid](x, branch, weight, bias, drop_path_scale, out, *numbers, eps, **sizes)
    return out


def add_norm_backward(
    grad: Tensor,
    branch: Tensor,
    weight: Tensor,
    drop_path_scale: Tensor,
    eps: float,
    empty: Callable[..., Tensor] = torch.empty,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of branch, weight and bias.

    Args:
        grad: gradient of the sum.
        branch: what `add_norm` was given, as all others.
        weight: see `add_norm`.
        drop_path_scale: see `add_norm`.
        eps: see `add_norm`.
        empty: see `add_norm`.
    """
    grad_branch = empty(branch.shape, dtype=branch.dtype, device=branch.device)
    if branch.numel() == 0:
        return grad_branch, torch.zeros_like(weight), torch.zeros_like(weight)
    numbers, sizes = _sizes(branch, drop_path_scale)
    shared = programs(math.ceil(numbers[0] / sizes["ROWS"]), 1, branch.device, SUMMED)
    grad_weight, grad_bias = (
        empty((shared, branch.shape[-1]), dtype=torch.float32, device=branch.device) for _ in range(2)
    )
    with torch.cuda.device_of(branch):
        norm_kernels.backward[(shared,)](
            grad, branch, weight, drop_path_scale, grad_branch, grad_weight, grad_bias, *numbers, eps, **sizes
        )
        return grad_branch, grad_weight.sum(0).to(weight.dtype), grad_bias.sum(0).to(weight.dtype)


def _sizes(x: Tensor, drop_path_scale: Tensor) -> tuple[tuple[int, int], dict[str, Any]]:
    """Rows and tokens of an image, and sizes known when kernels are compiled."""
    channels, width = x.shape[-1], power_of_two(x.shape[-1])
    rows = x.numel() // channels
    high = max(NUMBERS // width, 1)
    warps = max(4, high * width // 512)
    sizes = {"KEEP": len(drop_path_scale) > 0, "C": channels, "WIDTH": width, "ROWS": high, "num_warps": warps}
    return (rows, rows // max(len(drop_path_scale), 1)), sizes
