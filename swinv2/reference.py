"""Window attention as the paper writes it: what every faster way of computing it is tested against."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .windows import Group


def reference_attention(
    qkv: Float[Tensor, "tokens 3 heads d"],
    scale: Float[Tensor, " heads"],
    groups: Sequence[Group],
    biases: Sequence[Float[Tensor, "heads _ _"]],
) -> Float[Tensor, "tokens c"]:
    """Scaled cosine attention of every token to the tokens of its window (arXiv:2111.09883, eq. 2), with all scores.

    Args:
        qkv: queries, keys and values in window order.
        scale: 1 / tau of each head.
        groups: shape and number of the windows of each shape, in order.
        biases: position bias of the windows of each group.
    """
    contexts = []
    parts = qkv.split([math.prod(shape) * count for shape, count in groups])
    for (_, count), bias, part in zip(groups, biases, parts, strict=True):
        q, k, v = part.unflatten(0, (count, -1)).permute(2, 0, 3, 1, 4)  # (windows, heads, N, d) each
        cosine = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT
        weights = (cosine * scale[:, None, None] + bias).softmax(-1)
        contexts.append((weights @ v).transpose(1, 2).flatten(2).flatten(0, 1))  # (tokens, C)
    return torch.cat(contexts)
