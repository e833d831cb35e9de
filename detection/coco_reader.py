"""Reading a COCO file once from its beginning to its end, with a check of every entry."""

import logging
from array import array
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from jaxtyping import Int64

from detection.coco_fields import FIELDS, Box, Id, ImageRecord, check_area, name_of, read_box, read_category, read_image
from detection.coco_index import CROWD, DROPPED, FLAT, UNMASKED, CocoIndex, load, save, stamp_of
from detection.coco_json import Entry, entries
from detection.segmentation_checks import NO_AREA, NO_PIXEL, is_empty, problem_of

logger = logging.getLogger(__name__)

SLOW = 1.0  # seconds; an index that takes less is made anew each time
MOST_UNUSABLE = 0.5  # share of the objects of a file
CERTAIN = 20  # boxes; what all of so many have in common is no accident
REACHING_OUT = 0.1  # share of boxes outside of their images that tells corners from sizes
SLACK = 2  # pixels by which annotators miss a border


def index_file(path: Path) -> CocoIndex:
    """The index of a file, from the one beside it or else made now; the log says what is left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON, not COCO, an impossible field, or more than half of its objects are of no use.
    """
    kept = path.with_name(f"{path.name}.index.npz")
    index = load(kept, stamp_of(path)) if path.is_file() else None
    if index is None:
        began = perf_counter()
        index = CocoReader(path).index()
        if perf_counter() - began > SLOW:
            save(kept, stamp_of(path), index)
    for finding in index.findings:
        logger.warning("%s: %s", path, finding)
    return index


class CocoReader:
    """Reads a file once and checks every entry.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.categories: dict[int, str] = {}
        self.images: dict[Id, ImageRecord] = {}
        self.places: dict[Id, int] = {}  # of images, in the file's order
        self.sections: set[str] = set()
        self.rows = array("q")  # of each annotation: place of its image, category, first byte, the one after the last
        self.flags = array("q")
        self.counts: Counter[str] = Counter()
        self.first: dict[str, str] = {}  # of what is counted

    def index(self) -> CocoIndex:
        """The index; for errors see `index_file`."""
        try:
            self._read()
            rows = np.frombuffer(self.rows, np.int64).reshape(-1, 4)
            flags = np.frombuffer(self.flags, np.int64)
            self._check_categories(rows)
            self._check_boxes()
            self._check_shares(flags)
            has_masks = self._has_masks()
        except ValueError as error:
            raise ValueError(str(error) if str(self.path) in str(error) else f"{self.path}: {error}") from error
        kept = np.flatnonzero(flags < DROPPED)
        order = kept[np.argsort(rows[kept, 0], kind="stable")]
        return CocoIndex(
            categories=dict(sorted(self.categories.items())),
            images=[*self.images.values()],
            spans=rows[order, 2:],
            flags=flags[order],
            ends=np.searchsorted(rows[order, 0], np.arange(len(self.images)), side="right"),
            has_masks=has_masks,
            scored="annotations" in self.sections,
            findings=self._findings(len(flags)),
        )

    def _read(self) -> None:
        ahead = False
        for entry in entries(self.path, FIELDS, self.sections):
            if entry.section == "annotations":
                if "images" not in self.sections and not ahead:
                    ahead = True  # they come later in this file
                    for image in entries(self.path, ("images",), set()):
                        self._add_image(image)
                self._add_annotation(entry)
            elif entry.section == "categories":
                self._add_category(entry)
            elif not ahead:
                self._add_image(entry)
        if missing := [name for name in ("images", "categories") if name not in self.sections]:
            raise ValueError(f"it is not a COCO annotation file: it needs lists named {missing} at the top.")
        if not self.images:
            raise ValueError("it lists no images; give a COCO file with at least one.")

    def _add_image(self, entry: Entry) -> None:
        record = read_image(entry.value, entry.position)
        first = next(iter(self.images), record.id)
        if type(record.id) is not type(first):
            raise ValueError(
                f"images[{entry.position}] has id {record.id!r}, images[0] {first!r}; write all as numbers or as text."
            )
        if record.id in self.images:
            raise ValueError(
                f"images[{entry.position}] has id {record.id!r}, as another image has; ids must be unique."
            )
        self.places[record.id] = len(self.images)
        self.images[record.id] = record

    def _add_category(self, entry: Entry) -> None:
        number, name = read_category(entry.value, entry.position)
        if number in self.categories:
            raise ValueError(
                f"two categories have id {number}, {self.categories[number]!r} and {name!r}; ids must be unique."
            )
        self.categories[number] = name

    def _add_annotation(self, entry: Entry) -> None:
        value, position = entry.value, entry.position
        box = read_box(value, position)
        check_area(value, position)
        record = self.images.get(box.image_id)
        if record is None:
            raise ValueError(self._unknown_image(value, position, box.image_id))
        flag = CROWD if box.crowd else 0
        if not self._has_area(box, record, value, position):
            flag |= FLAT
        segmentation = value.get("segmentation")
        empty = is_empty(segmentation)
        problem = None if empty else problem_of(segmentation, record.height, record.width)
        if flag & FLAT and (empty or problem in (NO_AREA, NO_PIXEL)):
            flag |= DROPPED
            self._count("placeholder", value, position)
        elif empty:
            self._count("without", value, position)
        elif problem:
            flag |= UNMASKED
            self._count("unmasked", value, position, f": its segmentation {problem}")
        else:
            self.counts["masks"] += 1
        if flag & FLAT and not flag & (DROPPED | CROWD):
            self._count("flat", value, position, f": {value['bbox']}")
        self.rows.extend((self.places[box.image_id], box.category_id, entry.start, entry.end))
        self.flags.append(flag)

    def _has_area(self, box: Box, record: ImageRecord, value: Any, position: int) -> bool:
        """Whether a box has area within its image; those that look as if they were in other units are counted."""
        _, _, left, top, width, height, _ = box
        right, bottom = left + width, top + height
        if right <= max(left, 0) or bottom <= max(top, 0) or left >= record.width or top >= record.height:
            return False
        self.counts["boxes"] += 1
        if right <= 1 and bottom <= 1 and min(record.width, record.height) > 1:
            self._count("normalized", value, position, f": {value['bbox']}")
        if width > left and height > top and width <= record.width + 1 and height <= record.height + 1:
            self.counts["corners"] += 1  # or could be
        if max(left, top) > SLACK and (right > record.width + SLACK or bottom > record.height + SLACK):
            self._count("outside", value, position, f": {value['bbox']} in {record.width} x {record.height} pixels")
        return True

    def _count(self, what: str, value: Any, position: int, detail: str = "") -> None:
        self.counts[what] += 1
        if what not in self.first:
            self.first[what] = name_of(value, position) + detail

    def _unknown_image(self, value: Any, position: int, image_id: Id) -> str:
        other = any(str(image_id) == str(known) for known in self.images)
        hint = f" as {type(image_id).__name__}, but with another type; write both alike" if other else ""
        return (
            f"{name_of(value, position)} belongs to image {image_id!r}, which `images` does not list{hint}; add the "
            "image or remove the annotation."
        )

    def _check_categories(self, rows: Int64[np.ndarray, "n 4"]) -> None:
        unknown = np.flatnonzero(~np.isin(rows[:, 1], [*self.categories]))
        if len(unknown):
            row = int(unknown[0])
            entry = next(one for one in entries(self.path, ("annotations",), set()) if one.position == row)
            raise ValueError(
                f"{name_of(entry.value, row)} has category {rows[row, 1]}, but `categories` lists only "
                f"{sorted(self.categories)}; add the category or correct the annotation."
            )

    def _check_boxes(self) -> None:
        """See that boxes are in pixels, and left, top, width, height, by what all of them have in common."""
        counts, form = self.counts, "COCO's boxes are [left, top, width, height] in pixels"
        if counts["normalized"] > MOST_UNUSABLE * counts["boxes"]:
            raise ValueError(
                f"{counts['normalized']} of {counts['boxes']} boxes lie between 0 and 1, first "
                f"{self.first['normalized']}; they look normalised. {form}: multiply them by the size of the image."
            )
        alike = counts["corners"] == counts["boxes"] >= CERTAIN
        if alike and counts["outside"] > REACHING_OUT * counts["boxes"]:
            raise ValueError(
                f"the boxes look like [left, top, right, bottom]: {counts['outside']} of {counts['boxes']} would reach "
                f"out of their image, first {self.first['outside']}. {form}: subtract left and top."
            )

    def _check_shares(self, flags: Int64[np.ndarray, " n"]) -> None:
        objects = flags[(flags & (CROWD | DROPPED)) == 0]
        flat, unmasked = (int(((objects & kind) > 0).sum()) for kind in (FLAT, UNMASKED))
        if ((objects & (FLAT | UNMASKED)) > 0).sum() <= MOST_UNUSABLE * len(objects):
            return
        if unmasked >= flat:
            raise ValueError(
                f"{unmasked} of {len(objects)} objects have no usable segmentation, first {self.first['unmasked']}. "
                "Correct them, or remove all segmentations to work with boxes only."
            )
        raise ValueError(
            f"{flat} of {len(objects)} boxes have no area within their image, first {self.first['flat']}. COCO's boxes "
            "are [left, top, width, height] in pixels; correct them."
        )

    def _has_masks(self) -> bool:
        with_masks = self.counts["masks"] + self.counts["unmasked"]
        if with_masks and self.counts["without"]:
            raise ValueError(
                f"{self.first['without']} has no segmentation, one of {self.counts['without']} without. Give every "
                "object one, or remove all to work with boxes only."
            )
        return with_masks > 0

    def _findings(self, total: int) -> list[str]:
        counts = self.counts
        texts = {
            "placeholder": "annotations have neither a box nor a segmentation with area and are left out",
            "flat": "boxes have no area within their image and are left out of training",
            "unmasked": "segmentations are of no use and left out of training and of the scores of masks",
            "normalized": "boxes are smaller than a pixel and may be normalised",
        }
        return [
            f"{counts[what]} of {total} {text}, first {self.first[what]}"
            for what, text in texts.items()
            if counts[what]
        ]
