"""COCO's average precision of results given as plain entries, and tables of it."""

import contextlib
import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from pycocotools import mask as mask_utils

from detection.data.annotations import CocoAnnotations, Id
from detection.data.coco_fields import likely_area

try:
    from faster_coco_eval import COCO
    from faster_coco_eval import COCOeval_faster as COCOeval
except ImportError:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

logger = logging.getLogger(__name__)

FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")  # of COCO
IOU_TYPES = {"box": "bbox", "mask": "segm"}

Result = dict[str, Any]  # entry of a COCO results JSON


class ClassScore(NamedTuple):
    """Average precision of one class.

    Attributes:
        name: name of the class.
        objects: number of its objects in the evaluated images, without crowds.
        ap: average precision by kind, "box" and "mask"; NaN without objects.
    """

    name: str
    objects: int
    ap: dict[str, float]


def evaluate(annotations: CocoAnnotations, results: Mapping[Id, Sequence[Result]], kind: str) -> COCOeval:
    """Match results with annotations and accumulate precision and recall.

    Args:
        annotations: the ground truth.
        results: results by image id; only these images are evaluated, also those with an empty list.
        kind: "box" or "mask"; objects with an unusable segmentation are left out for "mask".
    """
    numbers = {image_id: number for number, image_id in enumerate(sorted(results), start=1)}  # ids may be text
    truth = [truth_entry(annotations, one) for image_id in results for one in annotations.of_image(image_id)]
    truth = [one | {"image_id": numbers[one["image_id"]]} for one in truth if kind == "box" or "segmentation" in one]
    found = [found_entry(result, kind) for ones in results.values() for result in ones]
    found = [one | {"image_id": numbers[one["image_id"]]} for one in found]
    images = [annotations.images[image_id]._asdict() | {"id": number} for image_id, number in numbers.items()]
    categories = [{"id": category} for category in annotations.category_ids]
    with contextlib.redirect_stdout(io.StringIO()):
        indices = [index(images, categories, entries) for entries in (truth, found)]
        scored = COCOeval(*indices, IOU_TYPES[kind])
        scored.evaluate()
        scored.accumulate()
    return scored


def truth_entry(annotations: CocoAnnotations, annotation: dict[str, Any]) -> dict[str, Any]:
    """Annotation with the fields that COCO's evaluation needs: `area` and, if there is a mask, its RLE."""
    entry = dict(annotation)
    if "segmentation" in annotation and annotations.has_masks:
        entry["segmentation"] = annotations.encode(annotation)
    if likely_area(annotation) is None:
        width, height = annotation["bbox"][2:]
        entry["area"] = float(mask_utils.area(entry["segmentation"])) if "segmentation" in entry else width * height
    return entry


def found_entry(result: Result, kind: str) -> dict[str, Any]:
    """Result with its area, by which it is small, medium or large: that of the mask where masks are evaluated."""
    if kind == "mask":
        return result | {"area": float(mask_utils.area(result["segmentation"])), "iscrowd": 0}
    width, height = result["bbox"][2:]
    return result | {"area": width * height, "iscrowd": 0}


def index(
    images: Sequence[dict[str, Any]], categories: Sequence[dict[str, Any]], entries: Iterable[dict[str, Any]]
) -> COCO:
    """COCO's index of annotations or results, numbered from 1: its evaluation takes id 0 for no match."""
    coco = COCO()
    numbered = [entry | {"id": number} for number, entry in enumerate(entries, start=1)]
    coco.dataset = {"images": list(images), "categories": list(categories), "annotations": numbered}
    coco.createIndex()
    return coco


def summarize(scored: COCOeval) -> dict[str, float]:
    """COCO's twelve metrics by name; its printed summary goes to the log."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        scored.summarize()
    logger.info("%s\n%s", scored.params.iouType, printed.getvalue().rstrip())
    return {name: known(figure) for name, figure in zip(FIGURES, scored.stats, strict=True)}


def precision_curves(scored: COCOeval) -> Float[np.ndarray, "overlaps recalls classes"]:
    """Precision of each class at COCO's ten IoU thresholds (0.5, 0.55, … 0.95) and 101 recalls (0, 0.01, … 1).

    Objects of all sizes and at most 100 detections per image count; NaN for a class without objects.
    """
    precision = scored.eval["precision"][:, :, :, 0, -1]
    return np.where(precision > -1, precision, np.nan)


def class_precision(curves: Float[np.ndarray, "overlaps recalls classes"]) -> list[float]:
    """Average precision of each class: mean over the IoU thresholds and recalls of `precision_curves`."""
    return [float(one.mean()) for one in curves.transpose(2, 0, 1)]  # a class is NaN throughout or nowhere


def known(figure: float) -> float:
    """Metric of COCO's evaluation, with NaN instead of -1 where there is nothing to find."""
    return float(figure) if figure > -1 else float("nan")


def count_objects(annotations: CocoAnnotations, image_ids: Iterable[Id]) -> list[int]:
    """Number of objects of each class in some images, without crowds."""
    counts = dict.fromkeys(annotations.category_ids, 0)
    for annotation in (one for image_id in image_ids for one in annotations.of_image(image_id)):
        counts[annotation["category_id"]] += not annotation["iscrowd"]
    return list(counts.values())


def format_table(scores: Sequence[ClassScore], columns: int = 2) -> str:
    """Table of per-class scores as aligned text.

    Args:
        scores: one per class.
        columns: classes per line.
    """
    if not scores:
        return ""
    header = ("class", "objects", *(f"{kind} AP" for kind in scores[0].ap))
    rows = [header, *((name, str(objects), *(f"{ap:.3f}" for ap in aps.values())) for name, objects, aps in scores)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    height = -(-len(scores) // columns)
    used = -(-len(scores) // height)
    lines = [[cells[0]] * used, *(cells[1 + start :: height] for start in range(height))]
    return "\n".join("  |  ".join(line) for line in lines)
