"""COCO annotation files: one parse, clear complaints, and the objects of one image at a time."""

import json
import logging
import pickle
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from pycocotools import mask as mask_utils
from torch import Tensor
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat, Mask

logger = logging.getLogger(__name__)

REQUIRED = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}


class ImageRecord(NamedTuple):
    """What an annotation file says of one image.

    Attributes:
        id: the image's number in the file.
        file_name: path below the image folder.
        height: pixels.
        width: pixels.
    """

    id: int
    file_name: str
    height: int
    width: int


class CocoAnnotations:
    """The content of a COCO JSON, packed: one block of bytes that worker processes share, opened image by image.

    Labels are 0, 1, … in ascending order of the category ids, which may have gaps. Crowd regions and boxes without area
    (within the image) are never training targets; the evaluation sees the file as it is.

    Args:
        path: JSON with `images`, `annotations` and `categories`.

    Attributes:
        category_ids: ids in the file, ascending; a label is a position in this list.
        class_names: the categories' names, in the same order.
        images: records by image id.
        annotated: ids of the images that have at least one object to train on.
        has_masks: whether the annotations have segmentations (all have, or none).

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON, not COCO, no images, an unknown image or category, or masks for some objects only.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content = read_coco(path)
        categories = sorted(content["categories"], key=lambda category: category["id"])
        self.category_ids = [category["id"] for category in categories]
        self.class_names = [category["name"] for category in categories]
        self._labels = {category_id: label for label, category_id in enumerate(self.category_ids)}
        records = [ImageRecord(*(image[key] for key in ImageRecord._fields)) for image in content["images"]]
        self.images = {record.id: record for record in records}
        if len(self._labels) < len(categories) or len(self.images) < len(records):
            raise ValueError(f"{path} gives two images or two categories the same id; ids must be unique.")
        self.has_masks = self._check_segmentations(content["annotations"])
        grouped = self._group(content["annotations"])
        self._report_dropped(grouped)
        self.annotated = [image_id for image_id in self.images if self._usable(image_id, grouped[image_id])]
        packed = [pickle.dumps(annotations) for annotations in grouped.values()]
        ends = np.cumsum([len(chunk) for chunk in packed]).tolist()
        self._content = b"".join(packed)
        self._slices = dict(zip(grouped, map(slice, [0, *ends], ends), strict=True))

    def of_image(self, image_id: int) -> list[dict[str, Any]]:
        """All annotations of an image, crowds included, in the file's order."""
        return pickle.loads(self._content[self._slices[image_id]])

    def target(self, image_id: int, with_masks: bool) -> dict[str, Any]:
        """The objects to detect in an image, in the pixels of the image file: `boxes`, `labels` and `masks`.

        Args:
            image_id: one of `images`.
            with_masks: draw the masks (only where the file has any).
        """
        record = self.images[image_id]
        usable = self._usable(image_id, self.of_image(image_id))
        boxes = np.array([clip_box(annotation["bbox"], record) for annotation in usable], np.float32).reshape(-1, 4)
        target = {
            "boxes": BoundingBoxes(
                torch.from_numpy(boxes), format=BoundingBoxFormat.XYXY, canvas_size=(record.height, record.width)
            ),
            "labels": torch.tensor([self._labels[annotation["category_id"]] for annotation in usable]).long(),
        }
        if with_masks and self.has_masks:
            target["masks"] = Mask(decode([self.encode(annotation) for annotation in usable], record))
        return target

    def encode(self, annotation: dict[str, Any]) -> dict[str, Any]:
        """The region of an annotation as compressed RLE, whichever way the file writes it."""
        record = self.images[annotation["image_id"]]
        size = record.height, record.width
        segmentation = annotation["segmentation"]
        if isinstance(segmentation, list):
            polygons = [corners for corners in segmentation if len(corners) >= 6 and len(corners) % 2 == 0]
            if not polygons:
                return mask_utils.encode(np.zeros(size, np.uint8, order="F"))
            return mask_utils.merge(mask_utils.frPyObjects(polygons, *size))
        if tuple(segmentation["size"]) != size:
            raise ValueError(
                f"{self.path}: {_name(annotation)} has a mask of {segmentation['size']} in an image of {list(size)} "
                "(height, width); the two must agree."
            )
        return mask_utils.frPyObjects(segmentation, *size) if isinstance(segmentation["counts"], list) else segmentation

    def _check_segmentations(self, annotations: Sequence[dict[str, Any]]) -> bool:
        without = [annotation for annotation in annotations if not annotation.get("segmentation")]
        if without and len(without) < len(annotations):
            raise ValueError(
                f"{self.path}: {_name(without[0])} has no segmentation, one of {len(without)} without. "
                "Give every object one, or remove all to work with boxes only."
            )
        return bool(annotations) and not without

    def _group(self, annotations: Sequence[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
        grouped: dict[int, list[dict[str, Any]]] = {image_id: [] for image_id in self.images}
        for annotation in annotations:
            if annotation["image_id"] not in grouped:
                raise ValueError(
                    f"{self.path}: {_name(annotation)} belongs to image {annotation['image_id']}, "
                    "which `images` does not list; add the image or remove the annotation."
                )
            if annotation["category_id"] not in self._labels:
                raise ValueError(
                    f"{self.path}: {_name(annotation)} has category {annotation['category_id']}, "
                    f"but `categories` lists only {self.category_ids}; add the category or correct the annotation."
                )
            if not isinstance(annotation["bbox"], list) or len(annotation["bbox"]) != 4:
                raise ValueError(
                    f"{self.path}: {_name(annotation)} has the box {annotation['bbox']}; "
                    "a box is [left, top, width, height] in pixels."
                )
            grouped[annotation["image_id"]].append(annotation)
        return grouped

    def _usable(self, image_id: int, annotations: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        record = self.images[image_id]
        return [one for one in annotations if not one.get("iscrowd") and has_area(one["bbox"], record)]

    def _report_dropped(self, grouped: dict[int, list[dict[str, Any]]]) -> None:
        pairs = [(self.images[image_id], one) for image_id, ones in grouped.items() for one in ones]
        flat = [one for record, one in pairs if not one.get("iscrowd") and not has_area(one["bbox"], record)]
        if flat:
            logger.warning(
                "%s: %d of %d boxes have no area within their image and are left out of training, first %s: %s",
                *(self.path, len(flat), len(pairs), _name(flat[0]), flat[0]["bbox"]),
            )


def read_coco(path: Path) -> dict[str, Any]:
    """A COCO JSON file with the keys that every use needs.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON, lacks a key, or lists no images.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no annotation file {path}; check the data folder and the file's name.")
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}). Was it cut short? Copy or download it again.") from error
    missing = [key for key in REQUIRED if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        raise ValueError(f"{path} is not a COCO annotation file: it needs lists named {missing} at the top.")
    for section, keys in REQUIRED.items():
        for position, entry in enumerate(content[section]):
            if lacking := [key for key in keys if key not in entry]:
                raise ValueError(f"{path} is not a COCO annotation file: {section}[{position}] lacks {lacking}.")
    if not content["images"]:
        raise ValueError(f"{path} lists no images; give a COCO file with at least one.")
    return content


def clip_box(box: Sequence[int | float], record: ImageRecord) -> tuple[int | float, ...]:
    """Left, top, right and bottom of a COCO box (left, top, width, height), cut at the borders of its image."""
    left, top, width, height = box
    return (
        min(max(left, 0), record.width),
        min(max(top, 0), record.height),
        min(max(left + width, 0), record.width),
        min(max(top + height, 0), record.height),
    )


def has_area(box: Sequence[int | float], record: ImageRecord) -> bool:
    """Whether a COCO box covers any part of its image."""
    left, top, right, bottom = clip_box(box, record)
    return right > left and bottom > top


def decode(regions: list[dict[str, Any]], record: ImageRecord) -> Bool[Tensor, "n h w"]:
    """Masks of the size of an image from compressed RLE."""
    if not regions:
        return torch.zeros(0, record.height, record.width, dtype=torch.bool)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__", DeprecationWarning)  # NumPy 2 about the inside of pycocotools
        masks = mask_utils.decode(regions)  # (h, w, n)
    return torch.from_numpy(masks).permute(2, 0, 1).contiguous().bool()  # (n, h, w)


def _name(annotation: dict[str, Any]) -> str:
    return f"annotation {annotation.get('id', '(without id)')}"
