"""Attention within windows that keeps no scores for the backward pass: what trains on a CPU."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from .windows import Group

SCORES_IN_CACHE = 2**20  # numbers of a block of scores that the backward pass holds at a time
TINY = 1e-12  # shortest length that a query or key is divided by


class RecomputedAttention(torch.autograd.Function):
    """Scaled cosine attention (eq. 2) whose backward pass computes the scores again, a few windows at a time.

    Kept are the queries, keys and values, and the result, which the layer that follows keeps anyway unless it is of
    another type. PyTorch's own function keeps all scores as soon as its mask, here the position bias, has a gradient.
    There is no second derivative.
    """

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, scale: Tensor, groups: Sequence[Group], *biases: Tensor
    ) -> Float[Tensor, "tokens c"]:
        """Arguments as those of `window_attention`, in float32 or float64."""
        queries_keys, values = qkv.split((2, 1), 1)
        units = queries_keys * factors(queries_keys, scale)
        masks = [bias.detach() for bias in biases]  # or PyTorch would take its slow way, for a gradient of the mask
        contexts = attend(units, values, groups, masks)
        ctx.save_for_backward(qkv, scale, contexts, *biases)
        ctx.groups = groups
        return contexts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of queries, keys and values, of the scale, and of each bias, in the type of the forward pass."""
        with full_precision(gradient.device):
            return RecomputedAttention._slopes(ctx, gradient)

    @staticmethod
    def _slopes(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        qkv, scale, contexts, *biases = ctx.saved_tensors
        heads, width = qkv.shape[2:]
        gradient, contexts = (t.unflatten(-1, (heads, width)) for t in (gradient, contexts))  # (tokens, h, d)
        slopes = torch.empty_like(qkv)
        bias_slopes = [torch.zeros_like(bias) for bias in biases]
        scale_slope = torch.zeros_like(scale)
        for head in range(heads):
            start = 0
            for (shape, count), bias, bias_slope in zip(ctx.groups, biases, bias_slopes, strict=True):
                tokens = math.prod(shape)
                step = max(SCORES_IN_CACHE // tokens**2, 1)
                for first in range(0, count, step):
                    windows = min(step, count - first)
                    part = slice(start + first * tokens, start + (first + windows) * tokens)
                    mine, slope, context = (
                        t[part, ..., head, :].unflatten(0, (windows, tokens)) for t in (qkv, gradient, contexts)
                    )
                    slope, of_scale, of_bias = block_slopes(mine, slope, context, scale[head], bias[head])
                    slopes[part, :, head] = slope.flatten(0, 1)
                    scale_slope[head] += of_scale
                    bias_slope[head] += of_bias
                start += count * tokens
        return slopes, scale_slope, None, *bias_slopes


def block_slopes(
    qkv: Float[Tensor, "w n 3 d"],
    gradient: Float[Tensor, "w n d"],
    context: Float[Tensor, "w n d"],
    scale: Float[Tensor, ""],
    bias: Float[Tensor, "n n"],
) -> tuple[Float[Tensor, "w n 3 d"], Float[Tensor, ""], Float[Tensor, "n n"]]:
    """Gradients of one head in a few windows: of queries, keys and values, of the scale, and of the bias."""
    gradient = gradient.contiguous()
    query, key, value = (t.contiguous() for t in qkv.unbind(2))  # (w, n, d)
    query_length, key_length = (torch.linalg.vector_norm(t, dim=-1, keepdim=True).clamp_min(TINY) for t in (query, key))
    query, key = query / query_length, key / key_length
    scores = torch.baddbmm(bias, query * scale, key.mT).softmax(-1)  # (w, n, n)
    of_value = scores.mT @ gradient
    of_scores = (gradient @ value.mT).sub_((gradient * context).sum(-1, keepdim=True)).mul_(scores)
    of_query, of_key = of_scores @ key, of_scores.mT @ query
    of_scale = (of_query * query).sum()
    for slope, unit, length in ((of_query, query, query_length), (of_key, key, key_length)):
        slope.mul_(scale).sub_(unit * (slope * unit).sum(-1, keepdim=True)).div_(length)
    return torch.stack([of_query, of_key, of_value], 2), of_scale, of_scores.sum(0)


def factors(queries_keys: Float[Tensor, "tokens 2 h d"], scale: Float[Tensor, " h"]) -> Float[Tensor, "tokens 2 h 1"]:
    """What queries and keys are multiplied by: queries get the length 1 / tau, keys stay of length one."""
    scale = torch.stack([scale, torch.ones_like(scale)]).unsqueeze(-1)  # (2, h, 1)
    return scale / torch.linalg.vector_norm(queries_keys, dim=-1, keepdim=True).clamp_min(TINY)


def attend(
    queries_keys: Float[Tensor, "tokens 2 h d"],
    values: Float[Tensor, "tokens 1 h d"],
    groups: Sequence[Group],
    biases: Sequence[Float[Tensor, "h _ _"]],
) -> Float[Tensor, "tokens c"]:
    """Attention of ready queries and keys, in windows of a few shapes."""
    lengths = [math.prod(shape) * count for shape, count in groups]
    contexts = []
    for (shape, count), bias, qk, v in zip(
        groups, biases, queries_keys.split(lengths), values.split(lengths), strict=True
    ):
        q, k = qk.unflatten(0, (count, math.prod(shape))).transpose(1, 3).unbind(2)  # (count, h, N, d)
        v = v.squeeze(1).unflatten(0, (count, math.prod(shape))).transpose(1, 2)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.unsqueeze(0), scale=1.0)
        contexts.append(out.transpose(1, 2).flatten(2).flatten(0, 1))  # (count·N, C)
    return torch.cat(contexts) if len(contexts) > 1 else contexts[0]


def full_precision(device: torch.device) -> AbstractContextManager:
    """Switch autocast off where a device has it (the meta device has not)."""
    return torch.autocast(device.type, enabled=False) if torch.amp.is_autocast_available(device.type) else nullcontext()
