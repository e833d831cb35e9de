"""Balanced random samples of positives and negatives, of all images at once: a GPU is waited for once."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor


class Drawn(NamedTuple):
    """Indices of the sampled positives and negatives of an image, ascending."""

    positive: Int[Tensor, "_"]
    negative: Int[Tensor, "_"]


def draw_balanced(kinds: Sequence[Shaped[Tensor, "_"]], samples: int, positive_fraction: float) -> list[Drawn]:
    """Sample of each image, by the random numbers of torchvision's BalancedPositiveNegativeSampler.

    Args:
        kinds: 1 or more for positives, 0 for negatives, less for what is neither.
        samples: number of samples per image, if there are as many.
        positive_fraction: greatest share of positives among them.
    """
    masks = [torch.stack([kind >= 1, kind == 0]) for kind in kinds]  # (2, n)
    drawn = []
    for mask, (positives, negatives) in zip(masks, torch.stack([mask.sum(1) for mask in masks]).tolist(), strict=True):
        wanted = min(positives, int(samples * positive_fraction))
        numbers = (positives, wanted), (negatives, min(negatives, samples - wanted))
        ranks = [torch.randperm(number, device=mask.device)[:most] for number, most in numbers]
        drawn.append(Drawn(*(nth_true(one, rank).sort().values for one, rank in zip(mask, ranks, strict=True))))
    return drawn


def nth_true(mask: Bool[Tensor, " n"], ranks: Int[Tensor, " m"]) -> Int[Tensor, " m"]:
    """Indices of some of the true values, as `mask.nonzero()[ranks]`, for whose number nobody has to wait.

    Args:
        mask: with true values.
        ranks: number of each wanted one among them, from 0.
    """
    return torch.searchsorted(mask.cumsum(0), ranks + 1)
