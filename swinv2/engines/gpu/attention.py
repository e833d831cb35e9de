"""Window attention on a GPU, as an operator that autograd and torch.compile know.

A call decides by which way it is computed, by kernels or by PyTorch's operators; Triton is imported when kernels run.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...windows import Windows, cut
from ..base import no_second_derivative
from . import pytorch_attention
from .choice import amount, mode, uses_kernel
from .kernel import attention_kernel
from .kernels.sizes import in_one_tile
from .self_check import TOLERANCE, deviation

TRIAL = 2**26  # scores of a trial: of so many images of a batch ways are timed

FORWARD = (
    "(Tensor qkv, Tensor scale, Tensor bias, Tensor[] starts, SymInt[] window, bool shifted, bool recorded) "
    "-> (Tensor, Tensor)"
)
BACKWARD = (
    "(Tensor grad, Tensor qkv, Tensor scale, Tensor bias, Tensor context, Tensor lse, Tensor[] starts, "
    "SymInt[] window, bool shifted, bool wants_bias) -> (Tensor, Tensor, Tensor)"
)


def window_attention(
    qkv: Float[Tensor, "b *grid 3 heads d"],
    scale: Float[Tensor, " heads"],
    bias: Float[Tensor, "heads n n"],
    windows: Windows,
) -> Float[Tensor, "b *grid c"]:
    """Scaled cosine attention (arXiv:2111.09883, eq. 2) of every token of a grid to those of its window.

    Scores are in float32. Kernels multiply 16-bit numbers where queries, keys and values are such, PyTorch's operators
    float32. Gradients have the same bits in every run. There is no second derivative.

    Args:
        qkv: queries, keys and values.
        scale: 1 / tau of each head.
        bias: position bias of every pair of slots.
        windows: of the grid.

    Raises:
        ValueError: parts that do not fit.
    """
    slots = math.prod(windows.shape)
    if math.prod(qkv.shape[1:-3]) != len(windows.slot) or bias.shape != (qkv.shape[-2], slots, slots):
        raise ValueError(
            f"qkv {tuple(qkv.shape)} and bias {tuple(bias.shape)} do not fit windows of {slots} slots in grids of "
            f"{len(windows.slot)} tokens; they are (batch, *grid, 3, heads, d) and (heads, slots, slots)."
        )
    recorded = torch.is_grad_enabled() and any(x.requires_grad for x in (qkv, scale, bias))
    where = list(windows.starts), list(windows.shape), windows.shifted
    context, _ = _attention(qkv, scale.float(), bias.float(), *where, recorded)
    return context


@torch.library.custom_op("swinv2::grid_attention", mutates_args=(), schema=FORWARD)
def _attention(
    qkv: Tensor,
    scale: Tensor,
    bias: Tensor,
    starts: Sequence[Tensor],
    window: Sequence[int],
    shifted: bool,
    recorded: bool,
) -> tuple[Tensor, Tensor]:
    """Context, and the logarithm of the sum of the scores where the kernels' backward pass needs it."""
    qkv, scale, bias = (x.contiguous() for x in (qkv, scale, bias))
    windows = _windows(qkv, window, shifted)
    if not _uses_kernels(qkv, window, recorded, partial(_try, qkv, scale, bias, starts, windows, recorded)):
        return pytorch_attention.forward(qkv, scale, bias, windows), _sums(qkv, scale, bias)
    from .kernels.launch import forward

    context, lse = forward(qkv, scale, bias, starts, window)
    if mode() == "check":
        _compare(context, pytorch_attention.forward(qkv, scale, bias, windows))
    return context, lse


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
    shifted: bool,
    wants_bias: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values, of the scale, and of the bias, which is empty where it is not wanted."""
    grad, qkv, scale, bias = (x.contiguous() for x in (grad, qkv, scale, bias))
    if not _uses_kernels(qkv, window, True):
        with torch.autocast(qkv.device.type, enabled=False):  # scores are those of the forward pass
            return pytorch_attention.backward(grad, qkv, scale, bias, _windows(qkv, window, shifted), wants_bias)
    from .kernels.launch import backward

    return backward(grad, qkv, scale, bias, context, lse, starts, window, wants_bias)


def _windows(qkv: Tensor, window: Sequence[int], shifted: bool) -> Windows:
    """The windows of a grid, which are remembered."""
    return cut(qkv.shape[1:-3], tuple(window), shifted, qkv.device)


def _uses_kernels(qkv: Tensor, window: Sequence[int], recorded: bool, trial: Any = None) -> bool:
    work = f"{'training' if recorded else 'inference'}, {amount(qkv.numel())} numbers"
    return uses_kernel(attention_kernel(qkv.dtype, qkv.shape[-1], tuple(window)), qkv.device, work, trial)


def _try(
    qkv: Tensor,
    scale: Tensor,
    bias: Tensor,
    starts: Sequence[Tensor],
    windows: Windows,
    recorded: bool,
    kernels: bool,
) -> None:
    """Attend to some images of a batch by one way, forward and, where it will come, backward."""
    from .kernels.launch import backward, forward

    qkv = qkv[: max(TRIAL // (windows.token.numel() * bias[:, 0].numel()), 1)]
    if kernels:
        context, lse = forward(qkv, scale, bias, starts, windows.shape)
        if recorded:
            backward(context, qkv, scale, bias, context, lse, starts, windows.shape)
    else:
        context = pytorch_attention.forward(qkv, scale, bias, windows)
        if recorded:
            pytorch_attention.backward(context, qkv, scale, bias, windows)


def _compare(ours: Tensor, theirs: Tensor) -> None:
    """Compare a forward pass of the kernels, as SWINV2_KERNELS=check asks for.

    Raises:
        RuntimeError: it deviates.
    """
    width, tolerance = ours.shape[-1], 2 * TOLERANCE[ours.dtype][0]
    if (wrong := deviation(ours.view(-1, width), theirs.view(-1, width).double(), tolerance)) is not None:
        raise RuntimeError(f"a GPU kernel deviates from PyTorch's attention: {wrong}; SWINV2_KERNELS=off avoids it.")


def _sums(qkv: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """NaN for the logarithms of sums of scores, which only kernels need; none for windows that one tile holds."""
    small = in_one_tile(bias.shape[-1], qkv.shape[-1])
    return scale.new_full((0,) if small else (*qkv.shape[:-3], qkv.shape[-2]), math.nan)


@_attention.register_fake
def _(
    qkv: Tensor, scale: Tensor, bias: Tensor, starts: Any, window: Any, shifted: bool, recorded: bool
) -> tuple[Tensor, Tensor]:
    return qkv.new_empty((*qkv.shape[:-3], qkv.shape[-2] * qkv.shape[-1])), _sums(qkv, scale, bias)


@_attention_backward.register_fake
def _(
    grad: Tensor,
    qkv: Tensor,
    scale: Tensor,
    bias: Tensor,
    context: Tensor,
    lse: Tensor,
    starts: Any,
    window: Any,
    shifted: bool,
    wants_bias: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    grad_bias = bias.new_empty(bias.shape if wants_bias else (0,))
    return torch.empty_like(qkv, memory_format=torch.contiguous_format), torch.empty_like(scale), grad_bias


def _remember(ctx: Any, inputs: tuple, output: tuple) -> None:
    qkv, scale, bias, starts, ctx.window, ctx.shifted, _ = inputs
    ctx.save_for_backward(qkv, scale, bias, *output, *starts)


def _differentiate(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Any, ...]:
    qkv, scale, bias, context, lse, *starts = ctx.saved_tensors
    wants_bias = ctx.needs_input_grad[2]
    where = starts, ctx.window, ctx.shifted
    grad_qkv, grad_scale, grad_bias = _attention_backward(grad, qkv, scale, bias, context, lse, *where, wants_bias)
    return grad_qkv, grad_scale, grad_bias if wants_bias else None, [None] * len(starts), None, None, None


_attention.register_autograd(_differentiate, setup_context=_remember)
_attention_backward.register_autograd(no_second_derivative)
