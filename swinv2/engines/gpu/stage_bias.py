"""The position biases of all blocks of a stage at once: a fraction of the launches, which small batches wait for."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from ...attention import ContinuousPositionBias, full_precision, pairwise
from ...windows import Size
from ..base import FastAttention, global_hooks, modification

NUMBERS = 2**26  # of all biases of a stage; more than these are made block by block


@contextmanager
def shared(attentions: Sequence[FastAttention], window: Size) -> Iterator[None]:
    """Give attentions their position biases within the context, where they are computed by networks as built.

    Args:
        attentions: of a stage's blocks.
        window: slots along each axis.
    """
    if not _are_alike(attentions, window):
        yield
        return
    biases = stacked([attn.cpb_mlp for attn in attentions], window, attentions[0].trained_window)
    try:
        for attn, bias in zip(attentions, biases, strict=True):
            vars(attn)["shared"] = window, bias
        yield
    finally:
        for attn in attentions:
            vars(attn).pop("shared", None)


def stacked(
    networks: Sequence[ContinuousPositionBias], window: Size, trained_window: Size
) -> Sequence[Float[Tensor, "heads n n"]]:
    """What `ContinuousPositionBias.forward` gives for each of several networks of the same size.

    Args:
        networks: of the blocks.
        window: slots along each axis.
        trained_window: window of the training.
    """
    first, offset, last = zip(*(network.parameters() for network in networks), strict=True)
    device, dtype = first[0].device, torch.promote_types(first[0].dtype, torch.float32)
    offsets = _offsets(window, trained_window, device).to(dtype)  # (2·w1 - 1, …, 2·wn - 1, n)
    with full_precision(device):
        weight, bias, heads = (torch.cat(some).to(dtype) for some in (first, offset, last))
        hidden = torch.addmm(bias, offsets.flatten(0, -2), weight.t()).relu().unflatten(-1, (len(networks), -1))
        scores = heads.unflatten(0, (len(networks), -1)) @ hidden.permute(1, 2, 0)  # (blocks, heads, offsets)
        table = 16 * torch.sigmoid(scores).flatten(0, 1).unflatten(-1, offsets.shape[:-1])
        return pairwise(table, window).chunk(len(networks))


def _are_alike(attentions: Sequence[FastAttention], window: Size) -> bool:
    """Whether the networks are of one size, as they were built, and their biases not too large to be there at once."""
    if len(attentions) < 2 or global_hooks() is not None:
        return False
    if any(modification(attn.cpb_mlp, "attn.cpb_mlp") for attn in attentions):
        return False
    kinds = {(attn.trained_window, attn.num_heads, attn.logit_scale.dtype) for attn in attentions}
    return len(kinds) == 1 and sum(attn.num_heads for attn in attentions) * math.prod(window) ** 2 <= NUMBERS


@lru_cache(maxsize=64)
def _offsets(window: Size, trained_window: Size, device: torch.device) -> Float[Tensor, "*pairs n"]:
    with torch.inference_mode(False):
        return ContinuousPositionBias.spaced(window, trained_window, device)
