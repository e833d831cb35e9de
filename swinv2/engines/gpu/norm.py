"""The end of a residual branch, by kernels; Triton is imported when they run."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..base import no_second_derivative
from .kernel import norm_kernel
from .kernels.sizes import promoted


def add_norm(
    x: Float[Tensor, "*grid c"],
    branch: Float[Tensor, "*grid c"],
    weight: Float[Tensor, " c"],
    bias: Float[Tensor, " c"],
    eps: float,
    drop_path_scale: Float[Tensor, " b"] | None = None,
) -> Float[Tensor, "*grid c"]:
    """The sum x + drop_path_scale · LayerNorm(branch), in one pass and float32.

    Gradients have the same bits in every run; `drop_path_scale` has none.

    Args:
        x: tokens, image after image.
        branch: what is normalised and added.
        weight: gain of the normalisation.
        bias: offset of the normalisation.
        eps: what is added to the variance.
        drop_path_scale: by what the branch of each image is multiplied, 0 where it is left out.

    Raises:
        ValueError: more channels, or another type, than the kernel takes; or parts that do not fit.
    """
    if (unsupported := _unsupported(x, branch, weight, drop_path_scale)) is not None:
        raise ValueError(unsupported)
    return _add_norm(
        x, branch, weight, bias, x.new_empty(0) if drop_path_scale is None else drop_path_scale.float(), eps
    )


def _unsupported(x: Tensor, branch: Tensor, weight: Tensor, drop_path_scale: Tensor | None) -> str | None:
    """Why the kernel cannot take this."""
    if isinstance(kernel := norm_kernel(x, branch, weight), str):
        return f"{kernel}."
    if x.shape != branch.shape or weight.shape != x.shape[-1:]:
        shapes = f"{tuple(x.shape)}, {tuple(branch.shape)} and {tuple(weight.shape)}"
        return f"x, branch and weight do not fit: {shapes}; they are (…, c), (…, c) and (c,)."
    if drop_path_scale is not None and math.prod(x.shape[:-1]) % max(len(drop_path_scale), 1) != 0:
        images, tokens = len(drop_path_scale), math.prod(x.shape[:-1])
        return f"{tokens} tokens are not of {images} images; drop_path_scale has one number an image."
    return None


@torch.library.custom_op("swinv2::add_norm", mutates_args=())
def _add_norm(x: Tensor, branch: Tensor, weight: Tensor, bias: Tensor, drop_path_scale: Tensor, eps: float) -> Tensor:
    from .kernels import norm_launch

    x, branch, weight, bias = (tensor.contiguous() for tensor in (x, branch, weight, bias))
    return norm_launch.add_norm(x, branch, weight, bias, drop_path_scale, eps)


@torch.library.custom_op("swinv2::add_norm_backward", mutates_args=())
def _add_norm_backward(
    grad: Tensor, branch: Tensor, weight: Tensor, drop_path_scale: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    from .kernels import norm_launch

    grad, branch, weight = (tensor.contiguous() for tensor in (grad, branch, weight))
    return norm_launch.add_norm_backward(grad, branch, weight, drop_path_scale, eps)


@_add_norm.register_fake
def _(x: Tensor, branch: Tensor, weight: Tensor, bias: Tensor, drop_path_scale: Tensor, eps: float) -> Tensor:
    return torch.empty_like(x, dtype=promoted(x, branch, weight), memory_format=torch.contiguous_format)


@_add_norm_backward.register_fake
def _(
    grad: Tensor, branch: Tensor, weight: Tensor, drop_path_scale: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    grad_branch = torch.empty_like(branch, memory_format=torch.contiguous_format)
    return grad_branch, torch.empty_like(weight), torch.empty_like(weight)


def _remember(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, branch, weight, bias, drop_path_scale, ctx.eps = inputs
    ctx.save_for_backward(branch, weight, drop_path_scale)
    ctx.dtypes = x.dtype, bias.dtype


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    grad_branch, grad_weight, grad_bias = _add_norm_backward(grad, *ctx.saved_tensors, ctx.eps)
    x, bias = ctx.dtypes
    return grad.to(x), grad_branch, grad_weight, grad_bias.to(bias), None, None


_add_norm.register_autograd(_differentiate, setup_context=_remember)
_add_norm_backward.register_autograd(no_second_derivative)
