"""What the kernels compute, in plain PyTorch: for devices without them, and for torch.compile with sizes that change.

Nothing here depends on the numbers in the cut's tensors, only on their lengths, so that all may be traced.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...windows import GridCut

TINY = 1e-12  # shortest length that a query or key is divided by
FAR = -1e30  # added to the score of a slot without a token
FEW = 128  # slots of a window up to which scores in memory are faster than PyTorch's function without them
EXTRA = 8  # channels that say which slots are empty: so many as fast ways need, all alike


def grid_attention(
    qkv: Float[Tensor, "b *grid 3 heads d"],
    scale: Float[Tensor, " heads"],
    bias: Float[Tensor, "heads n n"],
    cut: GridCut,
) -> Float[Tensor, "b *grid c"]:
    """Scaled cosine attention of every token to those of its window (arXiv:2111.09883, eq. 2), in float32 or better.

    Args:
        qkv: queries, keys and values in the order of the grid.
        scale: 1 / tau of each head.
        bias: position bias of every pair of slots.
        cut: the windows.
    """
    dtype = torch.promote_types(qkv.dtype, torch.float32)
    axes = len(cut.size)
    there, back, filled = places(cut)
    tiles = Gather.apply(
        qkv.flatten(0, axes).flatten(1), there, back, filled
    )  # (W, N, 3·C), for W windows of the batch
    q, k, v = tiles.unflatten(-1, qkv.shape[-3:]).permute(2, 0, 3, 1, 4).to(dtype).unbind()  # (W, h, N, d)
    q = q * (scale.to(dtype)[:, None, None] / torch.linalg.vector_norm(q, dim=-1, keepdim=True).clamp_min(TINY))
    k = k / torch.linalg.vector_norm(k, dim=-1, keepdim=True).clamp_min(TINY)
    contexts = attend(q, k, v, bias.to(dtype), torch.where(filled, 0.0, FAR).to(dtype))
    contexts = Scatter.apply(contexts.transpose(1, 2).flatten(2).to(qkv.dtype), there, back, filled)
    return contexts.unflatten(0, qkv.shape[: axes + 1])


def attend(
    q: Float[Tensor, "w h n d"],
    k: Float[Tensor, "w h n d"],
    v: Float[Tensor, "w h n d"],
    bias: Float[Tensor, "h n n"],
    empty: Float[Tensor, "w n"],
) -> Float[Tensor, "w h n d"]:
    """Attention of ready queries and keys, `empty` being added to scores of each key."""
    if bias.shape[-1] <= FEW:
        return (q @ k.mT + bias + empty[:, None, None]).softmax(-1) @ v
    q, v = F.pad(q, (0, EXTRA), value=1.0), F.pad(v, (0, EXTRA))  # a mask of its own for each window would be large
    k = torch.cat([k, empty[:, None, :, None].expand(*k.shape[:-1], EXTRA)], -1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.unsqueeze(0), scale=1.0)[..., :-EXTRA]


def places(
    cut: GridCut,
) -> tuple[Int[Tensor, "windows n"], Int[Tensor, " tokens"], Bool[Tensor, "windows n"]]:
    """The token in each slot of each window of the batch, the slot of each token, and which slots have one."""
    device = cut.starts[0].device
    window, slot = torch.zeros(2, 1, dtype=torch.int64, device=device).unbind()
    windows = 1
    for size, length, starts in zip(cut.size, cut.window, cut.starts, strict=True):
        place = torch.arange(size, device=device, dtype=starts.dtype)
        segment = torch.bucketize(place, starts[1:], right=True)
        window = (window.unsqueeze(1) * (len(starts) - 1) + segment).flatten()
        slot = (slot.unsqueeze(1) * length + place - starts[segment]).flatten()
        windows *= len(starts) - 1
    slots = math.prod(cut.window)
    images = torch.arange(cut.batch, device=device).unsqueeze(1)
    back = (images * (windows * slots) + window * slots + slot).flatten()
    there = torch.full((cut.batch * windows * slots,), -1, device=device)
    there[back] = torch.arange(len(back), device=device)
    there = there.view(-1, slots)
    return there.clamp(min=0), back, there >= 0


def add_norm(
    x: Float[Tensor, "*grid c"],
    branch: Float[Tensor, "*grid c"],
    weight: Float[Tensor, " c"],
    bias: Float[Tensor, " c"],
    eps: float,
    keep: Float[Tensor, " b"] | None = None,
) -> Float[Tensor, "*grid c"]:
    """The end of a residual branch: x + keep · LayerNorm(branch), the sum in the widest type of the two and `weight`.

    Args:
        x: tokens, image after image.
        branch: what is normalised and added.
        weight: gain of the normalisation.
        bias: offset of the normalisation.
        eps: what is added to the variance.
        keep: by what the branch of each image is multiplied, 0 where it is left out.
    """
    branch = branch.to(torch.promote_types(branch.dtype, weight.dtype))
    normed = F.layer_norm(branch, weight.shape, weight, bias, eps)
    if keep is not None:
        normed = (normed.view(len(keep), -1) * keep.to(normed.dtype).unsqueeze(1)).view_as(x)
    return x + normed


class Gather(torch.autograd.Function):
    """Tokens (tokens, C) into the slots of windows, zeros where there is none: the adjoint of `Scatter`."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, there: Tensor, back: Tensor, filled: Tensor) -> Tensor:
        """Slots (windows, N, C)."""
        ctx.save_for_backward(back)
        return tokens[there] * filled.unsqueeze(-1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        """Each token stands in one slot, so that nothing is added up."""
        (back,) = ctx.saved_tensors
        return grad.flatten(0, 1)[back], None, None, None


class Scatter(torch.autograd.Function):
    """Slots (windows, N, C) back to tokens: the adjoint of `Gather`."""

    @staticmethod
    def forward(ctx: Any, slots: Tensor, there: Tensor, back: Tensor, filled: Tensor) -> Tensor:
        """Tokens (tokens, C)."""
        ctx.save_for_backward(there, filled)
        return slots.flatten(0, 1)[back]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        """Empty slots have no gradient."""
        there, filled = ctx.saved_tensors
        return grad[there] * filled.unsqueeze(-1), None, None, None
