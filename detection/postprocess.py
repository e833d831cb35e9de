"""From the scored boxes of one image to its detections."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.ops import batched_nms, remove_small_boxes


@dataclass(frozen=True)
class Postprocess:
    """Keeps the boxes that score well and do not repeat a better one of their class.

    Args:
        score_threshold: lowest score of a detection, 0 to 1, itself excluded.
        nms_threshold: overlap, 0 to 1, above which the lower of two boxes of a class is dropped.
        detections_per_image: largest number of detections.
    """

    score_threshold: float = 0.05
    nms_threshold: float = 0.5
    detections_per_image: int = 100

    def __call__(self, boxes: Float[Tensor, "n k 4"], scores: Float[Tensor, "n k_and_1"]) -> dict[str, Tensor]:
        """`boxes`, `scores` and `labels` of the detections, best first.

        Args:
            boxes: box of every proposal for every class, xyxy in pixels.
            scores: probability of every class and, last, of background.
        """
        rows, labels = torch.where(scores[:, :-1] > self.score_threshold)
        boxes, scores = boxes[rows, labels], scores[rows, labels]
        keep = remove_small_boxes(boxes, min_size=1e-2)
        kept = batched_nms(boxes[keep], scores[keep], labels[keep], self.nms_threshold)
        best = keep[kept[: self.detections_per_image]]
        return {"boxes": boxes[best], "scores": scores[best], "labels": labels[best]}
