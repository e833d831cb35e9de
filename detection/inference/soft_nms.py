"""Soft-NMS (arXiv:1704.04503): boxes that overlap a better one of their class lose score, but are not dropped."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

Decay = Callable[[Float[Tensor, "..."]], Float[Tensor, "..."]]  # IoU with a better box to factor of the score


def linear_decay(threshold: float) -> Decay:
    """Linear decay: 1 - IoU where the IoU is above a threshold, else 1 (sec. 3).

    Args:
        threshold: IoU, 0 to 1, above which scores decay.
    """
    return lambda iou: torch.where(iou > threshold, 1 - iou, 1.0)


def gaussian_decay(sigma: float) -> Decay:
    """Gaussian decay: exp(-IoU² / sigma), for every overlap (sec. 3).

    Args:
        sigma: width, above 0; the smaller, the stronger the decay.
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
    """Indices of the boxes that are kept, best first, and their scores after the decay.

    Each round takes the best remaining box of every class and lowers the scores of the other boxes of that class. The
    boxes taken from a class only get worse from round to round, so a class whose best remaining box is not better than
    the worst of the `limit` best taken so far is finished. This is exact and ends after at most `limit` rounds, usually
    after few; memory grows with the number of classes times the boxes of a class.

    Args:
        boxes: xyxy in pixels.
        scores: 0 to 1.
        labels: class of each box; boxes of different classes do not affect each other.
        decay: factor of the score by IoU with a better box: `linear_decay` or `gaussian_decay`.
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
    """Indices and scores of the boxes of each occurring class, one row per class, padded with box 0 of score 0."""
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
    """IoU of one box of each class with all boxes of that class; 0 where neither has area."""
    left_top = torch.maximum(box[:, None, :2], boxes[..., :2])
    right_bottom = torch.minimum(box[:, None, 2:], boxes[..., 2:])
    shared = (right_bottom - left_top).clamp(min=0).prod(dim=-1)  # (k, n)
    area, areas = ((x[..., 2:] - x[..., :2]).prod(dim=-1) for x in (box, boxes))
    return shared / (area[:, None] + areas - shared).clamp(min=1e-9)
