"""Collection of detections over images and processes, and COCO's scores of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch.distributed as dist
from jaxtyping import Float

from detection.data.annotations import CocoAnnotations, Id
from detection.evaluation.average_precision import (
    ClassScore,
    Result,
    class_precision,
    count_objects,
    evaluate,
    format_table,
    precision_curves,
    summarize,
)
from detection.inference.masks import encode_masks


class CocoEvaluator:
    """Collect detections image by image, then score them against the annotations of just these images.

    An image that comes twice, as some do from distributed samplers, counts once.

    Args:
        annotations: the ground truth.

    Attributes:
        found: detections as entries of a COCO results JSON, by image id; an image without any has an empty list. After
            `compute` the first process has those of all processes.
        class_scores: scores of each class, once `compute` has run.
        curves: `precision_curves` by kind, "box" and "mask", in the first process once `compute` has run.
    """

    def __init__(self, annotations: CocoAnnotations) -> None:
        self.annotations = annotations
        self.reset()

    def reset(self) -> None:
        """Forget all detections."""
        self.found: dict[Id, list[Result]] = {}
        self.class_scores: list[ClassScore] = []
        self.curves: dict[str, Float[np.ndarray, "overlaps recalls classes"]] = {}
        self._kinds: tuple[str, ...] = ("box",)

    def update(self, detections: Sequence[dict[str, Any]], targets: Sequence[dict[str, Any]]) -> None:
        """Add the detections of a batch.

        Args:
            detections: per image `boxes` (in pixels of the model's input), `scores`, `labels` and, for mask scores,
                `masks`.
            targets: per image `image_id`, `size` and `orig_size`, from the data set.
        """
        for detection, target in zip(detections, targets, strict=True):
            if "masks" in detection and self.annotations.has_masks:
                self._kinds = ("box", "mask")
            results = to_results(to_original(detection, target), target, self.annotations.category_ids)
            self.found.setdefault(target["image_id"], results)

    def results(self) -> list[Result]:
        """Content of a COCO results JSON: all entries of `found`."""
        return [result for results in self.found.values() for result in results]

    def compute(self) -> dict[str, float]:
        """COCO's twelve metrics as `box/AP`, … and `mask/AP`, …; NaN where there is nothing to find.

        Raises:
            ValueError: no image was evaluated.
        """
        first = self.gather()
        outcome = [self._score() if first and self.found else None]
        if dist.is_available() and dist.is_initialized():
            dist.broadcast_object_list(outcome, src=0)
        if outcome[0] is None:
            raise ValueError("No image was evaluated, so there is nothing to score; call update first.")
        figures, self.class_scores = outcome[0]
        return figures

    def table(self) -> str:
        """Table of the per-class scores as aligned text."""
        return format_table(self.class_scores)

    def gather(self) -> bool:
        """Collect the detections of all processes in the first one, and return whether this is the first."""
        if not (dist.is_available() and dist.is_initialized()):
            return True
        first = dist.get_rank() == 0
        parts: list[Any] | None = [None] * dist.get_world_size() if first else None
        dist.gather_object((self._kinds, self.found), parts, dst=0)
        for kinds, results in parts or []:
            self._kinds = max(self._kinds, kinds, key=len)
            self.found = results | self.found
        if first:  # in the order of a single process
            self.found = {
                image_id: self.found[image_id] for image_id in self.annotations.images if image_id in self.found
            }
        return first

    def _score(self) -> tuple[dict[str, float], list[ClassScore]]:
        figures: dict[str, float] = {}
        for kind in self._kinds:
            scored = evaluate(self.annotations, self.found, kind)
            figures |= {f"{kind}/{name}": figure for name, figure in summarize(scored).items()}
            self.curves[kind] = precision_curves(scored)
        by_kind = [class_precision(curves) for curves in self.curves.values()]
        counts = count_objects(self.annotations, self.found)
        rows = zip(self.annotations.class_names, counts, zip(*by_kind, strict=True), strict=True)
        return figures, [ClassScore(name, count, dict(zip(self._kinds, ap, strict=True))) for name, count, ap in rows]


def to_original(detection: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    """Detection with its boxes in pixels of the image file instead of the model's input."""
    (height, width), (new_height, new_width) = target["orig_size"], target["size"]
    factors = detection["boxes"].new_tensor([width / new_width, height / new_height] * 2)
    return detection | {"boxes": detection["boxes"] * factors}


def to_results(detection: dict[str, Any], target: dict[str, Any], category_ids: Sequence[int]) -> list[Result]:
    """Entries of a COCO results JSON for one image.

    Args:
        detection: `boxes` in pixels of the image file, `scores`, `labels` and optionally `masks`.
        target: `image_id` and `orig_size`.
        category_ids: category id of each label.
    """
    corners = detection["boxes"].float().tolist()
    rows = zip(corners, detection["labels"].tolist(), detection["scores"].float().tolist(), strict=True)
    results: list[Result] = [
        {
            "image_id": target["image_id"],
            "category_id": category_ids[label],
            "bbox": [left, top, right - left, bottom - top],
            "score": score,
        }
        for (left, top, right, bottom), label, score in rows
    ]
    if "masks" not in detection:
        return results
    regions = encode_masks(detection["masks"], detection["boxes"], target["orig_size"])
    return [result | {"segmentation": region} for result, region in zip(results, regions, strict=True)]
