"""Attention within windows that keeps no scores for the backward pass: what trains on a CPU."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...windows import Group

Run = tuple[int, int, Tensor]  # windows of one shape: how many, tokens of each, and their bias (1, h, N, N)

SCORES_IN_CACHE = 2**22  # bytes of a block of scores that a pass holds at a time
SCORES_ON_GPU = 64  # times as many on a GPU, which has to be kept busy
TINY = 1e-12  # shortest length that a query or key is divided by


class RecomputedAttention(torch.autograd.Function):
    """Scaled cosine attention (eq. 2) whose backward pass computes the scores again, a few windows at a time.

    Kept are the queries, keys and values. PyTorch's own function keeps all scores as soon as its mask, here the
    position bias, has a gradient. There is no second derivative.
    """

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, scale: Tensor, groups: Sequence[Group], *biases: Tensor
    ) -> Float[Tensor, "tokens c"]:
        """Arguments as those of `window_attention`, in float32 or float64."""
        ctx.save_for_backward(qkv, scale, *biases)
        ctx.groups = groups
        with full_precision(qkv.device):
            return attention(qkv, scale, groups, biases)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of queries, keys and values, of the scale, and of each bias, in the type of the forward pass."""
        qkv, scale, *biases = ctx.saved_tensors
        of_scale, *of_biases = (torch.zeros_like(t) for t in (scale, *biases))
        with full_precision(gradient.device):
            of_qkv, _ = attention_slopes(qkv, gradient, scale, ctx.groups, biases, of_scale, of_biases)
        return of_qkv, of_scale, None, *of_biases


def attention(
    qkv: Float[Tensor, "tokens 3 h d"],
    scale: Float[Tensor, " h"],
    groups: Sequence[Group],
    biases: Sequence[Float[Tensor, "h _ _"]],
    overwrite: bool = False,
) -> Float[Tensor, "tokens c"]:
    """Scaled cosine attention (eq. 2) in float32 or better, the biases' type; without gradients.

    Args:
        qkv: queries, keys and values in window order.
        scale: 1 / tau of each head.
        groups: shape and number of the windows of each shape, in order.
        biases: position bias of the windows of each group.
        overwrite: whether queries and keys may be written to.
    """
    if not groups:  # an empty batch
        return qkv[:, 0].flatten(1)
    given = qkv if overwrite else torch.empty(qkv.shape, dtype=scale.dtype, device=qkv.device)
    set_length(qkv[:, :2], torch.stack([scale, torch.ones_like(scale)]).unsqueeze(-1), given[:, :2])
    if not overwrite:
        given[:, 2] = qkv[:, 2]
    biases = [bias.detach() for bias in biases]  # with a gradient PyTorch takes a slow way, even if none is recorded
    return attend(given, runs_of(groups, biases)).to(qkv.dtype)


def attend_in_blocks(
    qkv: Float[Tensor, "tokens 3 h d"],
    scale: Float[Tensor, " h"],
    groups: Sequence[Group],
    biases: Sequence[Float[Tensor, "h _ _"]],
) -> Float[Tensor, "tokens c"]:
    """The same in the biases' type, a few heads or windows at a time, which is the faster in 16 bits on a CPU."""
    contexts = torch.empty_like(qkv[:, 0])  # (tokens, h, d)
    wanted = torch.stack([scale, torch.ones_like(scale)])[..., None, None]  # (2, h, 1, 1)
    for (places, windows), bias in zip(_runs(groups), biases, strict=True):
        copies = _heads_first(qkv[places], windows).to(bias.dtype)
        query, key = of_length(copies[:2], wanted)  # (h, w, n, d) each
        for heads, (q, k, v) in _blocks(query, key, copies[2]):
            torch.bmm(_scores(q, k, bias[heads]), v, out=q)  # the query is not needed any more
        contexts[places].unflatten(0, query.shape[1:3]).copy_(query.to(qkv.dtype).permute(1, 2, 0, 3))
    return contexts.flatten(1)


def attention_slopes(
    qkv: Float[Tensor, "tokens 3 h d"],
    gradient: Float[Tensor, "tokens c"],
    scale: Float[Tensor, " h"],
    groups: Sequence[Group],
    biases: Sequence[Float[Tensor, "h _ _"]],
    of_scale: Float[Tensor, " h"],
    of_biases: Sequence[Float[Tensor, "h _ _"]],
    wants_context: bool = False,
) -> tuple[Float[Tensor, "tokens 3 h d"], Float[Tensor, "tokens c"] | None]:
    """Gradient of queries, keys and values, and on the way the attention itself once more, in the biases' type.

    Args:
        qkv: queries, keys and values in window order.
        gradient: of the attention's result.
        scale: 1 / tau of each head.
        groups: shape and number of the windows of each shape, in order.
        biases: position bias of the windows of each group.
        of_scale: to which the gradient of the scale is added.
        of_biases: to which the gradients of the biases are added.
        wants_context: whether to return the attention's result too.
    """
    of_qkv = torch.empty_like(qkv)
    contexts = torch.empty_like(qkv[:, 0]) if wants_context else None  # (tokens, h, d)
    gradient = gradient.unflatten(-1, qkv.shape[2:]).unsqueeze(1)  # (tokens, 1, h, d)
    for (places, windows), bias, of_bias in zip(_runs(groups), biases, of_biases, strict=True):
        units, lengths = _units(qkv[places], windows, bias.dtype)
        of_context = _heads_first(gradient[places], windows)[0].to(bias.dtype)
        of_units = torch.empty_like(units)
        of_scale += _block_slopes(units, of_context, scale, bias, of_units, of_bias, wants_context)
        of_directions, directions = of_units[:2], units[:2]
        of_directions -= directions * (of_directions * directions).sum(-1, keepdim=True)
        of_directions /= lengths
        of_qkv[places].unflatten(0, units.shape[2:4]).copy_(of_units.to(qkv.dtype).permute(2, 3, 0, 1, 4))
        if contexts is not None:
            contexts[places].unflatten(0, units.shape[2:4]).copy_(of_context.to(qkv.dtype).permute(1, 2, 0, 3))
    return of_qkv, None if contexts is None else contexts.flatten(1)


def _block_slopes(
    units: Float[Tensor, "3 h w n d"],
    of_context: Float[Tensor, "h w n d"],
    scale: Float[Tensor, " h"],
    bias: Float[Tensor, "h n n"],
    of_units: Float[Tensor, "3 h w n d"],
    of_bias: Float[Tensor, "h n n"],
    wants_context: bool,
) -> Float[Tensor, " h"]:
    """Fill `of_units`, add to `of_bias`, give the scale's gradient; the context replaces its own gradient if wanted."""
    scale = scale[:, None, None, None]
    for heads, (q, k, v, g, of_q, of_k, of_v) in _blocks(units[0] * scale, *units[1:], of_context, *of_units):
        weights = _scores(q, k, bias[heads])  # (h·w, n, n)
        torch.bmm(weights.mT, g, out=of_v)
        slope = torch.bmm(g, v.mT)
        if wants_context:
            torch.bmm(weights, v, out=g)
        torch.ops.aten._softmax_backward_data.out(slope, weights, -1, slope.dtype, grad_input=slope)
        torch.bmm(slope, k, out=of_q)
        torch.bmm(slope.mT, q, out=of_k)
        of_bias[heads] += slope.unflatten(0, (-1, len(q) // len(bias[heads]))).sum(1)
    of_scale = (of_units[0] * units[0]).sum((1, 2, 3))
    of_units[0] *= scale
    return of_scale


def _runs(groups: Sequence[Group]) -> Iterator[tuple[slice, int]]:
    """Places and number of the windows of each group."""
    start = 0
    for shape, count in groups:
        stop = start + count * math.prod(shape)
        yield slice(start, stop), count
        start = stop


def _heads_first(x: Float[Tensor, "tokens k h d"], windows: int) -> Float[Tensor, "k h w n d"]:
    return x.unflatten(0, (windows, -1)).permute(2, 3, 0, 1, 4).contiguous()


def of_length(vectors: Float[Tensor, "*n d"], wanted: Float[Tensor, "*_"]) -> Float[Tensor, "*n d"]:
    """Vectors made as long as is wanted; on a CPU, where no gradient is asked for, in one pass."""
    has_kernel = vectors.device.type == "cpu" and vectors.dtype != torch.float16  # which PyTorch 2.6 has not
    if is_eager() and has_kernel and vectors.numel():
        rows = vectors.reshape(-1, vectors.shape[-1])
        goals = wanted.to(rows.dtype).expand(vectors.shape[:-1]).reshape(-1, 1)
        scaled, lengths = torch.ops.aten._weight_norm_interface(rows, goals, 0)  # rows · goals / lengths
        if lengths.amin() >= TINY:
            return scaled.view(vectors.shape)
    wide = torch.promote_types(vectors.dtype, torch.float32)
    lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True, dtype=wide).clamp_min(TINY)
    return (vectors * (wanted.unsqueeze(-1) / lengths)).to(vectors.dtype)


def set_length(vectors: Float[Tensor, "*n d"], wanted: Float[Tensor, "*_ 1"], out: Float[Tensor, "*n d"]) -> None:
    """The same, written to `out`, which may be the vectors themselves, in float32 or better and without gradients.

    In two passes, but it does not copy vectors that lie apart.
    """
    lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True, dtype=wanted.dtype).clamp_min_(TINY)
    torch.mul(vectors, torch.div(wanted, lengths, out=lengths), out=out)


def is_eager() -> bool:
    """Whether operators run one by one, without gradients, so that they may write over what is not needed any more."""
    return not torch.is_grad_enabled() and not torch.compiler.is_compiling() and not torch.jit.is_tracing()


def _units(qkv: Float[Tensor, "tokens 3 h d"], windows: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Queries and keys of length one with the values, (3, h, w, n, d), and the lengths that they had."""
    units = _heads_first(qkv, windows).to(dtype)
    units = units.clone() if units.data_ptr() == qkv.data_ptr() else units
    lengths = torch.linalg.vector_norm(units[:2], dim=-1, keepdim=True).clamp_min_(TINY)
    units[:2] /= lengths
    return units, lengths


def _blocks(*tensors: Float[Tensor, "h w n d"]) -> Iterator[tuple[slice, list[Float[Tensor, "hw n d"]]]]:
    """Several heads in all windows, or one head in several: the heads, and that part of each tensor."""
    heads, windows, tokens, _ = tensors[0].shape
    most = SCORES_IN_CACHE * (1 if tensors[0].device.type == "cpu" else SCORES_ON_GPU)
    scores = tokens**2 * tensors[0].itemsize
    some_heads = min(max(most // (windows * scores), 1), heads)
    some_windows = min(max(most // scores, 1), windows) if some_heads == 1 else windows
    for head in range(0, heads, some_heads):
        chosen = slice(head, head + some_heads)
        parts = (t[chosen].flatten(0, 1) for t in tensors)
        if some_windows == windows:
            yield chosen, list(parts)
        else:
            yield from ((chosen, list(part)) for part in zip(*(p.split(some_windows) for p in parts), strict=True))


def _scores(
    query: Float[Tensor, "hw n d"], key: Float[Tensor, "hw n d"], bias: Float[Tensor, "h n n"]
) -> Float[Tensor, "hw n n"]:
    """Attention weights of the windows of a few heads."""
    if len(bias) == 1:
        scores = torch.baddbmm(bias, query, key.mT)
    else:
        scores = torch.bmm(query, key.mT)
        scores.unflatten(0, (len(bias), -1)).add_(bias.unsqueeze(1))
    return torch.softmax(scores, -1, out=scores)


def runs_of(groups: Sequence[Group], biases: Sequence[Float[Tensor, "h _ _"]]) -> list[Run]:
    """Windows of a few shapes, as `attend` takes them."""
    return [(count, math.prod(shape), bias[None]) for (shape, count), bias in zip(groups, biases, strict=True)]


def attend(qkv: Float[Tensor, "tokens 3 h d"], runs: Sequence[Run]) -> Float[Tensor, "tokens c"]:
    """Attention of queries and keys of their final lengths, in runs of windows of one shape."""
    contexts = []
    for part, (windows, tokens, bias) in zip(qkv.split([w * n for w, n, _ in runs]), runs, strict=True):
        q, k, v = part.view(windows, tokens, *part.shape[1:]).permute(2, 0, 3, 1, 4).unbind()  # (w, h, n, d) each
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        contexts.append(out.transpose(1, 2).reshape(windows * tokens, -1))  # (w·n, C)
    return torch.cat(contexts) if len(contexts) > 1 else contexts[0]


def full_precision(device: torch.device) -> AbstractContextManager:
    """Switch autocast off where a device has it (the meta device has not)."""
    on = torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if on else nullcontext()
