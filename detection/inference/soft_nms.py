"""Soft-NMS (arXiv:1704.04503): boxes that overlap a better one of their class lose score instead of being dropped."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

Decay = Callable[[Float[Tensor, "..."]], Float[Tensor, "..."]]  # overlap with a better box to factor of the score


def linear_decay(threshold: float) -> Decay:
    """1 - IoU where the IoU is above a threshold, else 1 (sec. 3).

    Args:
        threshold: overlap, 0 to 1, above which scores decay.
    """
    return lambda iou: torch.where(iou > threshold, 1 - iou, 1.0)


def gaussian_decay(sigma: float) -> Decay:
    """exp(-IoU² / sigma): every overlap costs something, and the more the larger it is (sec. 3).

    Args:
        sigma: the smaller, the more; above 0.
    """
    return lambda iou: torch.exp(-iou.square() / sigma)


def soft_nms(
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, "n"],
    labels: Int[Tensor, "n"],
    decay: Decay,
    score_threshold: float,
    limit: int,
) -> tuple[Int[Tensor, "m"], Float[Tensor, "m"]]:
    """Which boxes stay, best first, and their scores after the decay.

    Each round takes the best box that is left of every class and lowers the scores of the others of that class. What is
    taken from a class only gets worse from round to round, so a class whose best is not among the `limit` best taken so
    far has nothing more to give and is left out from then on. This is exact and ends after `limit` rounds at most, most
    often after few; memory grows with classes times boxes of a class.

    Args:
        boxes: xyxy in pixels.
        scores: 0 to 1.
        labels: class of each box; boxes of different classes do not touch each other's scores.
        decay: factor of the score by overlap with a better box: `linear_decay` or `gaussian_decay`.
        score_threshold: scores that fall to this or below it are dropped; at least 0.
        limit: greatest number of boxes to keep.
    """
    index, rest = by_class(scores, labels)  # (k, n)
    corners = boxes[index]  # (k, n, 4)
    taken, best = index.new_zeros(0), scores.new_zeros(0)
    floor = torch.as_tensor(score_threshold, dtype=scores.dtype, device=scores.device)
    while rest.numel():
        top, column = rest.max(dim=1)  # (k,)
        live = torch.where(top > floor)[0]
        if len(live) < len(top):
            index, rest, corners, top, column = (x[live] for x in (index, rest, corners, top, column))
        rows = torch.arange(len(top), device=top.device)
        best, order = torch.cat([best, top]).sort(descending=True, stable=True)
        taken = torch.cat([taken, index[rows, column]])[order]
        best, taken = best[:limit], taken[:limit]
        if len(best) == limit:
            floor = best[-1].maximum(floor)
        rest = rest * decay(overlaps(corners[rows, column], corners))
        rest[rows, column] = 0
    return taken, best


def by_class(
    scores: Float[Tensor, "n"], labels: Int[Tensor, "n"]
) -> tuple[Int[Tensor, "k most"], Float[Tensor, "k most"]]:
    """Number and score of the boxes of each class that occurs, one class a row, filled up with box 0 of score 0."""
    _, rows, counts = labels.unique(return_inverse=True, return_counts=True)
    order = rows.argsort(stable=True)
    first = counts.cumsum(0) - counts
    place = rows[order], torch.arange(len(rows), device=rows.device) - first[rows[order]]  # row, column
    index = order.new_zeros(len(counts), int(counts.max()) if len(counts) else 0)
    index[place] = order
    padded = scores.new_zeros(index.shape)
    padded[place] = scores[order]
    return index, padded


def overlaps(box: Float[Tensor, "k 4"], boxes: Float[Tensor, "k n 4"]) -> Float[Tensor, "k n"]:
    """IoU of one box of each class with all boxes of that class; 0 where neither has an area."""
    left_top = torch.maximum(box[:, None, :2], boxes[..., :2])
    right_bottom = torch.minimum(box[:, None, 2:], boxes[..., 2:])
    shared = (right_bottom - left_top).clamp(min=0).prod(dim=-1)  # (k, n)
    area, areas = ((x[..., 2:] - x[..., :2]).prod(dim=-1) for x in (box, boxes))
    return shared / (area[:, None] + areas - shared).clamp(min=1e-9)
