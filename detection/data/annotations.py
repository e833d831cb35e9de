"""COCO annotation files: checked as a whole by `coco_reader.py`, then read for one image at a time."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat

from detection.data.coco_fields import Id, ImageRecord
from detection.data.coco_index import CROWD, UNMASKED, stamp_of
from detection.data.coco_json import read_span
from detection.data.coco_reader import index_file
from detection.data.regions import encode_region, find_region

logger = logging.getLogger(__name__)

__all__ = ["CocoAnnotations", "Id", "ImageRecord", "clip_box"]


class CocoAnnotations:
    """Content of a COCO JSON: a small index in memory; annotations of an image are read from the file when needed.

    Labels are 0, 1, … in ascending order of the category ids, which may have gaps. Crowd regions, boxes without area
    (within the image) and objects with an unusable segmentation are never training targets; the log counts them.

    Args:
        path: JSON with `images`, `categories` and, except for a test set, `annotations`.

    Attributes:
        category_ids: ids in the file, ascending; a label is a position in this list.
        class_names: the categories' names, in the same order.
        images: records by image id.
        annotated: ids of the images that have at least one object to train on.
        has_masks: whether the annotations have segmentations (all have, or none).
        scored: whether the file has objects to find; that of a test set has none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: see `index_file`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        index = index_file(path)
        for finding in index.findings:
            logger.warning("%s: %s", path, finding)
        self.category_ids = [*index.categories]
        self.class_names = [*index.categories.values()]
        self.images: dict[Id, ImageRecord] = {record.id: record for record in index.images}
        self.annotated = [record.id for record, usable in zip(index.images, index.trainable, strict=True) if usable]
        self.has_masks, self.scored = index.has_masks, index.scored
        self._labels = {category_id: label for label, category_id in enumerate(self.category_ids)}
        self._places = {image_id: place for place, image_id in enumerate(self.images)}
        self._spans, self._flags, self._ends = index.spans, index.flags, index.ends
        self._stamp = stamp_of(path)
        self._file: int | None = None

    def of_image(self, image_id: Id) -> list[dict[str, Any]]:
        """All annotations of an image, crowds included, in the file's order; unusable segmentations are removed.

        Raises:
            OSError: the file is gone or was changed.
        """
        return [annotation for annotation, _ in self._read(image_id)]

    def target(self, image_id: Id, with_regions: bool) -> dict[str, Any]:
        """The objects to detect in an image, in its pixels: `boxes`, `labels` and, on request, `regions`.

        Args:
            image_id: id of the image.
            with_regions: add the objects' regions, if the file has segmentations.
        """
        record = self.images[image_id]
        usable = [annotation for annotation, flag in self._read(image_id) if not flag]
        boxes = np.array([clip_box(annotation["bbox"], record) for annotation in usable], np.float32).reshape(-1, 4)
        target = {
            "boxes": BoundingBoxes(
                torch.from_numpy(boxes), format=BoundingBoxFormat.XYXY, canvas_size=(record.height, record.width)
            ),
            "labels": torch.tensor([self._labels[annotation["category_id"]] for annotation in usable]).long(),
        }
        if not (with_regions and self.has_masks):
            return target
        return target | {"regions": [find_region(one["segmentation"], record.height, record.width) for one in usable]}

    def encode(self, annotation: dict[str, Any]) -> dict[str, Any]:
        """Segmentation of an annotation as compressed RLE, in whichever form the file has it."""
        record = self.images[annotation["image_id"]]
        return encode_region(annotation["segmentation"], record.height, record.width)

    def _read(self, image_id: Id) -> list[tuple[dict[str, Any], int]]:
        """The annotations of an image and their flags."""
        place = self._places[image_id]
        rows = range(self._ends[place - 1] if place else 0, self._ends[place])
        return [(self._annotation(row, image_id), int(self._flags[row])) for row in rows]

    def _annotation(self, row: int, image_id: Id) -> dict[str, Any]:
        start, end = self._spans[row].tolist()
        if self._file is None:
            if not np.array_equal(stamp_of(self.path), self._stamp):
                raise OSError(f"{self.path} was changed while a run reads from it; start the run again.")
            self._file = os.open(self.path, os.O_RDONLY)
        try:
            annotation = read_span(os.pread(self._file, end - start, start))
        except ValueError as error:
            raise OSError(f"{self.path} was changed while a run reads from it; start the run again.") from error
        if self._flags[row] & UNMASKED:
            annotation.pop("segmentation")
        return annotation | {"image_id": image_id, "iscrowd": int(bool(self._flags[row] & CROWD))}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}  # each process opens the file by itself

    def __del__(self) -> None:
        if self.__dict__.get("_file") is not None:
            os.close(self._file)  # type: ignore[arg-type]


def clip_box(box: Sequence[int | float], record: ImageRecord) -> tuple[int | float, ...]:
    """Left, top, right and bottom of a COCO box (left, top, width, height), cut at the borders of its image."""
    left, top, width, height = box
    return (
        min(max(left, 0), record.width),
        min(max(top, 0), record.height),
        min(max(left + width, 0), record.width),
        min(max(top + height, 0), record.height),
    )
