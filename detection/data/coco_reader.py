"""Reader of a COCO file that checks every entry in one pass."""

from array import array
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from jaxtyping import Int64

from detection.data.box_checks import SLACK, has_size, is_apart, is_far
from detection.data.coco_fields import (
    FIELDS,
    Box,
    Id,
    ImageRecord,
    check_area,
    is_empty,
    likely_area,
    name_of,
    read_box,
    read_category,
    read_image,
)
from detection.data.coco_findings import Findings
from detection.data.coco_index import CROWD, DROPPED, FLAT, UNMASKED, CocoIndex, load, save, stamp_of
from detection.data.coco_json import Entry, entries
from detection.data.segmentation_checks import NO_AREA, NO_PIXEL, examine

SLOW = 1.0  # seconds; an index that takes less is not saved


def index_file(path: Path) -> CocoIndex:
    """Index of a file, loaded from beside it or made now.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON, not COCO, an impossible field, or more than half of the objects are unusable.
    """
    kept = path.with_name(f"{path.name}.index.npz")
    index = load(kept, stamp_of(path)) if path.is_file() else None
    if index is None:
        began = perf_counter()
        index = CocoReader(path).index()
        if perf_counter() - began > SLOW:
            save(kept, stamp_of(path), index)
    return index


class CocoReader:
    """Read a COCO file once and check every entry.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.categories: dict[int, str] = {}
        self.images: dict[Id, ImageRecord] = {}
        self.places: dict[Id, int] = {}  # position of each image in the file
        self.sections: set[str] = set()
        self.rows = array("q")  # per annotation: position of its image, category, first byte, the one after the last
        self.flags = array("q")
        self.files: set[str] = set()
        self.found = Findings()

    def index(self) -> CocoIndex:
        """Make the index; for errors see `index_file`."""
        try:
            self._read()
            rows = np.frombuffer(self.rows, np.int64).reshape(-1, 4)
            flags = np.frombuffer(self.flags, np.int64)
            self._check_categories(rows)
            self._count(flags)
            self.found.check()
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
            scored=self.found.counts["objects"] > 0,
            findings=self.found.sentences(),
        )

    def _read(self) -> None:
        ahead = False
        for entry in entries(self.path, FIELDS, self.sections):
            if entry.section == "annotations":
                if "images" not in self.sections and not ahead:
                    ahead = True  # the images come later in this file
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
        place = f"images[{entry.position}]"
        first = next(iter(self.images), record.id)
        if type(record.id) is not type(first):
            raise ValueError(f"{place} has id {record.id!r}, images[0] {first!r}; write all as numbers or as text.")
        if record.id in self.images:
            raise ValueError(f"{place} has id {record.id!r}, as another image has; ids must be unique.")
        if record.file_name in self.files:
            self.found.add("same file", place, record.file_name)
        if "not_exhaustive_category_ids" in entry.value:
            self.found.add("federated", place)
        self.found.counts["images"] += 1
        self.files.add(record.file_name)
        self.places[record.id] = len(self.images)
        self.images[record.id] = record

    def _add_category(self, entry: Entry) -> None:
        number, name = read_category(entry.value, entry.position)
        if number in self.categories:
            raise ValueError(
                f"two categories have id {number}, {self.categories[number]!r} and {name!r}; ids must be unique."
            )
        if name in self.categories.values():
            self.found.add("same name", f"categories[{entry.position}]", repr(name))
        self.found.counts["categories"] += 1
        self.categories[number] = name

    def _add_annotation(self, entry: Entry) -> None:
        value, position = entry.value, entry.position
        box = read_box(value, position)
        check_area(value, position)
        record = self.images.get(box.image_id)
        if record is None:
            raise ValueError(self._unknown_image(value, position, box.image_id))
        flag = self._flag(box, record, entry)
        if not flag & DROPPED:
            if value.get("ignore"):
                self._find("ignore", entry)
            if value.get("area") is not None and likely_area(value) is None:
                self._find("area", entry, f"area {value['area']}, box {value['bbox']}")
        self.rows.extend((self.places[box.image_id], box.category_id, entry.start, entry.end))
        self.flags.append(flag)

    def _find(self, kind: str, entry: Entry, detail: str = "") -> None:
        self.found.add(kind, name_of(entry.value, entry.position), detail)

    def _flag(self, box: Box, record: ImageRecord, entry: Entry) -> int:
        """Flags of an annotation by its box and segmentation; oddities are counted."""
        flag = self._flag_of_box(box, record, entry)
        segmentation = entry.value.get("segmentation")
        empty = is_empty(segmentation)
        spans = None if empty else examine(segmentation, record.height, record.width)
        if flag & FLAT and ((empty and not has_size(box)) or spans in (NO_AREA, NO_PIXEL)):
            self._find("placeholder", entry)
            return flag | DROPPED
        if flag == FLAT:
            self._find("far" if is_far(box, record) else "flat", entry, str(entry.value["bbox"]))
        if box.crowd:
            self._find("crowd", entry)
        if spans is None:
            self._find("without", entry)
        elif isinstance(spans, str):
            self._find("unmasked", entry, f"its segmentation {spans}")
            return flag | UNMASKED
        elif not flag and is_apart(box, spans):
            self._find("apart", entry, f"box {entry.value['bbox']}, segmentation from and to {spans}")
        return flag

    def _flag_of_box(self, box: Box, record: ImageRecord, entry: Entry) -> int:
        """Flags of an annotation by its box alone; boxes that look like other units are counted."""
        crowd = CROWD if box.crowd else 0
        _, _, left, top, width, height, _ = box
        right, bottom = left + width, top + height
        if right <= max(left, 0) or bottom <= max(top, 0) or left >= record.width or top >= record.height:
            return crowd | FLAT
        reach = max(-left, -top, right - record.width, bottom - record.height)
        if reach > SLACK and is_far(box, record):
            return crowd | FLAT
        counts = self.found.counts
        counts["boxes"] += 1
        if right <= 1 and bottom <= 1 and min(record.width, record.height) > 1:
            self._find("normalized", entry, str(entry.value["bbox"]))
        if width > left and height > top and width <= record.width + 1 and height <= record.height + 1:
            counts["corners"] += 1  # could be right and bottom
        if reach > SLACK and not crowd:
            self._find("outside", entry, f"{entry.value['bbox']} in {record.width} x {record.height} pixels")
        return crowd

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

    def _count(self, flags: Int64[np.ndarray, " n"]) -> None:
        objects = flags[(flags & (CROWD | DROPPED)) == 0]
        useless, unmasked = (int(np.count_nonzero(part)) for part in (objects, objects & UNMASKED))
        self.found.counts.update(
            {"annotations": len(flags), "objects": len(objects), "useless": useless, "unmasked objects": unmasked}
        )

    def _has_masks(self) -> bool:
        counts, first = self.found.counts, self.found.first
        with_masks = counts["annotations"] - counts["placeholder"] - counts["without"]
        if with_masks and counts["without"]:
            raise ValueError(
                f"{first['without']} has no segmentation, one of {counts['without']} without. Give every object one, "
                "or remove all to work with boxes only."
            )
        return with_masks > 0
