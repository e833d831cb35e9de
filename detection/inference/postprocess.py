"""Selection of the detections of an image: score threshold and NMS."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.ops import batched_nms, remove_small_boxes

from detection.inference.soft_nms import gaussian_decay, linear_decay, soft_nms

FIRST_PART = 20  # NMS first tries this many candidates per allowed detection


@dataclass(frozen=True)
class Postprocess:
    """Score threshold, NMS within each class, and limit of the number of detections.

    Soft-NMS lowers scores instead of dropping boxes, which makes a difference only if low scores count: use it with a
    `score_threshold` of 0.001 rather than 0.05.

    Args:
        score_threshold: score that a detection must exceed, 0 to 1; with soft-NMS the lowered score.
        nms_threshold: IoU, 0 to 1, above which the lower-scored of two boxes of a class is dropped, or loses score with
            linear soft-NMS; not used by Gaussian soft-NMS.
        detections_per_image: greatest number of detections per image.
        soft_nms: decay of the score with IoU (arXiv:1704.04503); None drops boxes instead.
        soft_nms_sigma: width of the Gaussian; the smaller, the faster scores fall.

    Raises:
        ValueError: a setting outside its range.
    """

    score_threshold: float = 0.05
    nms_threshold: float = 0.5
    detections_per_image: int = 100
    soft_nms: Literal["linear", "gaussian"] | None = None
    soft_nms_sigma: float = 0.5

    def __post_init__(self) -> None:
        for name in ("score_threshold", "nms_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}.")
        if self.detections_per_image < 1:
            raise ValueError(f"detections_per_image must be at least 1, got {self.detections_per_image}.")
        if self.soft_nms not in (None, "linear", "gaussian"):
            raise ValueError(f"soft_nms must be 'linear', 'gaussian' or None, got {self.soft_nms!r}.")
        if not self.soft_nms_sigma > 0:
            raise ValueError(f"soft_nms_sigma must be above 0, got {self.soft_nms_sigma}; the paper takes 0.5.")

    def __call__(self, boxes: Float[Tensor, "n k 4"], scores: Float[Tensor, "n k_and_1"]) -> dict[str, Tensor]:
        """`boxes`, `scores` and `labels` of the detections, best first.

        Args:
            boxes: box of every proposal for every class, xyxy in pixels.
            scores: probability of every class and, last, of background.
        """
        rows, labels = torch.where(scores[:, :-1] > self.score_threshold)
        boxes, scores = boxes[rows, labels], scores[rows, labels]
        keep = remove_small_boxes(boxes, min_size=1e-2)
        kept, kept_scores = self.suppress(boxes[keep], scores[keep], labels[keep])
        best = keep[kept]
        return {"boxes": boxes[best], "scores": kept_scores, "labels": labels[best]}

    def suppress(
        self, boxes: Float[Tensor, "n 4"], scores: Float[Tensor, "n"], labels: Int[Tensor, "n"]
    ) -> tuple[Int[Tensor, "m"], Float[Tensor, "m"]]:
        """Indices of the boxes that NMS keeps, best first, and their scores.

        Args:
            boxes: xyxy in pixels.
            scores: score of each box, above the threshold.
            labels: class of each box.
        """
        limit = self.detections_per_image
        if self.soft_nms is not None:
            linear = self.soft_nms == "linear"
            decay = linear_decay(self.nms_threshold) if linear else gaussian_decay(self.soft_nms_sigma)
            return soft_nms(boxes, scores, labels, decay, self.score_threshold, limit)
        order = scores.argsort(descending=True, stable=True)
        for part in (order[: FIRST_PART * limit], order):  # suppression depends on better boxes only
            kept = part[batched_nms(boxes[part], scores[part], labels[part], self.nms_threshold)[:limit]]
            if len(kept) == limit or len(part) == len(order):
                break
        return kept, scores[kept]
