"""Attention of tokens in window order that keeps no scores for the backward pass (arXiv:2111.09883, eq. 2)."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ...attention import full_precision
from ..base import no_second_derivative
from .order import Group

Run = tuple[int, int, Tensor]  # windows of one shape: how many, tokens of each, and their bias (1, h, N, N)

HALVES = (torch.bfloat16, torch.float16)
SCORES_IN_CACHE = 2**22  # bytes of a block of scores that a pass holds at a time
TINY = 1e-12  # shortest length that a query or key is divided by


class AttentionWithGrad(torch.autograd.Function):
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
            return attention(qkv, lengths_of(scale), groups, biases).data  # no view, which nobody could write to

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of queries, keys and values, of the scale, and of each bias, in the type of the forward pass."""
        qkv, scale, *biases = saved = ctx.saved_tensors
        grad_scale, *grad_biases = (torch.zeros_like(t) for t in (scale, *biases))
        with torch.no_grad(), full_precision(grad_out.device):
            grad_qkv, _ = attention_gradients(qkv, grad_out, scale, ctx.groups, biases, grad_scale, grad_biases)
        return first_derivative((grad_qkv, grad_scale, None, *grad_biases), grad_out, *saved)


class FirstDerivative(torch.autograd.Function):
    """Gradients as they are, which have no gradients themselves."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The first `count` of the tensors; the others are those that they depend on."""
        return tensors[:count]

    backward = staticmethod(no_second_derivative)


def first_derivative(grads: Sequence[Tensor | None], *inputs: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients whose own gradients are an error, rather than wrong, where they may be asked for.

    Args:
        grads: the gradients.
        inputs: what they depend on.
    """
    if not torch.is_grad_enabled():
        return tuple(grads)
    there = [grad for grad in grads if grad is not None]
    known = iter(FirstDerivative.apply(len(there), *there, *inputs))
    return tuple(None if grad is None else next(known) for grad in grads)


def attention(
    qkv: Float[Tensor, "tokens 3 h d"],
    lengths: Float[Tensor, "2 h 1"],
    groups: Sequence[Group],
    biases: Sequence[Float[Tensor, "h _ _"]],
    overwrite: bool = False,
) -> Float[Tensor, "tokens c"]:
    """Scaled cosine attention (eq. 2) in float32 or better, the biases' type; without gradients.

    Args:
        qkv: queries, keys and values in window order, at least one token.
        lengths: of queries and keys of each head, by `lengths_of`.
        groups: shape and number of the windows of each shape, in order.
        biases: position bias of the windows of each group.
        overwrite: whether queries and keys may be written to.
    """
    given = qkv if overwrite else torch.empty(qkv.shape, dtype=lengths.dtype, device=qkv.device)
    set_length(qkv[:, :2], lengths, given[:, :2])
    if not overwrite:
        given[:, 2] = qkv[:, 2]
    biases = [bias.detach() for bias in biases]  # with a gradient PyTorch takes a slow way, even if none is recorded
    return attend(given, runs_of(groups, biases)).to(qkv.dtype)


def attend_in_blocks(
    qkv: Float[Tensor, "tokens 3 h d"],
    lengths: Float[Tensor, "2 h 1"],
    groups: Sequence[Group],
    biases: Sequence[Float[Tensor, "h _ _"]],
) -> Float[Tensor, "tokens c"]:
    """The same in the biases' type, a few heads or windows at a time, which is the faster in 16 bits on a CPU."""
    contexts = torch.empty_like(qkv[:, 0])  # (tokens, h, d)
    for (places, windows), bias in zip(_places(groups), biases, strict=True):
        copies = _heads_first(qkv[places], windows).to(bias.dtype)
        query, key = of_length(copies[:2], lengths.unsqueeze(-1))  # (h, w, n, d) each
        for heads, (q, k, v) in _blocks(query, key, copies[2]):
            torch.bmm(_scores(q, k, bias[heads]), v, out=q)  # the query is not needed any more
        contexts[places].unflatten(0, query.shape[1:3]).copy_(query.to(qkv.dtype).permute(1, 2, 0, 3))
    return contexts.flatten(1)


def lengths_of(scale: Float[Tensor, " h"]) -> Float[Tensor, "2 h 1"]:
    """Lengths that queries and keys of each head are given, so that their product is the scaled cosine."""
    return torch.stack([scale, torch.ones_like(scale)]).unsqueeze(-1)


def attention_gradients(
    qkv: Float[Tensor, "tokens 3 h d"],
    grad_out: Float[Tensor, "tokens c"],
    scale: Float[Tensor, " h"],
    groups: Sequence[Group],
    biases: Sequence[Float[Tensor, "h _ _"]],
    grad_scale: Float[Tensor, " h"],
    grad_biases: Sequence[Float[Tensor, "h _ _"]],
    wants_context: bool = False,
) -> tuple[Float[Tensor, "tokens 3 h d"], Float[Tensor, "tokens c"] | None]:
    """Gradient of queries, keys and values, and on the way the attention itself once more, in the biases' type.

    Args:
        qkv: queries, keys and values in window order.
        grad_out: gradient of the attention's result.
        scale: 1 / tau of each head.
        groups: shape and number of the windows of each shape, in order.
        biases: position bias of the windows of each group.
        grad_scale: to which the gradient of the scale is added.
        grad_biases: to which the gradients of the biases are added.
        wants_context: whether to return the attention's result too.
    """
    grad_qkv = torch.empty_like(qkv)
    contexts = torch.empty_like(qkv[:, 0]) if wants_context else None  # (tokens, h, d)
    grad_out = grad_out.unflatten(-1, qkv.shape[2:]).unsqueeze(1)  # (tokens, 1, h, d)
    for (places, windows), bias, grad_bias in zip(_places(groups), biases, grad_biases, strict=True):
        units, lengths = _units(qkv[places], windows, bias.dtype)
        grad_context = _heads_first(grad_out[places], windows)[0].to(bias.dtype)
        grad_units = torch.empty_like(units)
        grad_scale += _block_gradients(units, grad_context, scale, bias, grad_units, grad_bias, wants_context)
        grad_directions, directions = grad_units[:2], units[:2]
        grad_directions -= directions * (grad_directions * directions).sum(-1, keepdim=True)
        grad_directions /= lengths
        grad_qkv[places].unflatten(0, units.shape[2:4]).copy_(grad_units.to(qkv.dtype).permute(2, 3, 0, 1, 4))
        if contexts is not None:
            contexts[places].unflatten(0, units.shape[2:4]).copy_(grad_context.to(qkv.dtype).permute(1, 2, 0, 3))
    return grad_qkv, None if contexts is None else contexts.flatten(1)


def _block_gradients(
    units: Float[Tensor, "3 h w n d"],
    grad_context: Float[Tensor, "h w n d"],
    scale: Float[Tensor, " h"],
    bias: Float[Tensor, "h n n"],
    grad_units: Float[Tensor, "3 h w n d"],
    grad_bias: Float[Tensor, "h n n"],
    wants_context: bool,
) -> Float[Tensor, " h"]:
    """Fill `grad_units`, add to `grad_bias`, give the scale's gradient; the context replaces its gradient if wanted."""
    scale = scale[:, None, None, None]
    for heads, (q, k, v, g, grad_q, grad_k, grad_v) in _blocks(units[0] * scale, *units[1:], grad_context, *grad_units):
        weights = _scores(q, k, bias[heads])  # (h·w, n, n)
        torch.bmm(weights.mT, g, out=grad_v)
        grad_scores = torch.bmm(g, v.mT)
        if wants_context:
            torch.bmm(weights, v, out=g)
        torch.ops.aten._softmax_backward_data.out(grad_scores, weights, -1, grad_scores.dtype, grad_input=grad_scores)
        torch.bmm(grad_scores, k, out=grad_q)
        torch.bmm(grad_scores.mT, q, out=grad_k)
        grad_bias[heads] += grad_scores.unflatten(0, (-1, len(q) // len(bias[heads]))).sum(1)
    grad_scale = (grad_units[0] * units[0]).sum((1, 2, 3))
    grad_units[0] *= scale
    return grad_scale


def _places(groups: Sequence[Group]) -> Iterator[tuple[slice, int]]:
    """Places and number of the windows of each group."""
    start = 0
    for shape, count in groups:
        stop = start + count * math.prod(shape)
        yield slice(start, stop), count
        start = stop


def _heads_first(x: Float[Tensor, "tokens k h d"], windows: int) -> Float[Tensor, "k h w n d"]:
    return x.unflatten(0, (windows, -1)).permute(2, 3, 0, 1, 4).contiguous()


def of_length(vectors: Float[Tensor, "*n d"], wanted: Float[Tensor, "*_"]) -> Float[Tensor, "*n d"]:
    """Vectors made as long as is wanted, without gradients; in one pass, where PyTorch has a function for it."""
    has_kernel = vectors.dtype != torch.float16  # which PyTorch 2.6 has not
    if has_kernel and vectors.numel():
        rows = vectors.reshape(-1, vectors.shape[-1])
        goals = wanted.to(rows.dtype).expand(vectors.shape[:-1]).reshape(-1, 1)
        scaled, lengths = torch.ops.aten._weight_norm_interface(rows, goals, 0)  # rows · goals / lengths
        if lengths.amin() >= TINY:
            return scaled.view(vectors.shape)
    dtype = torch.promote_types(vectors.dtype, torch.float32)
    lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True, dtype=dtype).clamp_min(TINY)
    return (vectors * (wanted.unsqueeze(-1) / lengths)).to(vectors.dtype)


def set_length(vectors: Float[Tensor, "*n d"], wanted: Float[Tensor, "*_ 1"], out: Float[Tensor, "*n d"]) -> None:
    """The same, written to `out`, which may be the vectors themselves, in float32 or better and without gradients.

    In two passes, but it does not copy vectors that lie apart.
    """
    lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True, dtype=wanted.dtype).clamp_min_(TINY)
    torch.mul(vectors, torch.div(wanted, lengths, out=lengths), out=out)


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
    scores = tokens**2 * tensors[0].itemsize
    some_heads = min(max(SCORES_IN_CACHE // (windows * scores), 1), heads)
    some_windows = min(max(SCORES_IN_CACHE // scores, 1), windows) if some_heads == 1 else windows
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
