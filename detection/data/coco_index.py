"""Index of a COCO file, saved beside the file if it took long to make."""

import json
import logging
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64

from detection.data.coco_fields import ImageRecord
from swinv2.files.arrays import read_arrays

logger = logging.getLogger(__name__)

VERSION = 2  # raise it when an unchanged file gives another index than before
ROOM = 1 << 20  # bytes by which an index may be larger than its file
CROWD, FLAT, UNMASKED, DROPPED = 1, 2, 4, 8  # flags of annotations, see `CocoIndex.flags`


@dataclass
class CocoIndex:
    """Index of a COCO file: categories, images, and positions of the annotations in the file.

    Attributes:
        categories: name by id, ascending ids.
        images: records in the file's order.
        spans: first byte of each annotation in the file and the one after the last, grouped by image.
        flags: flags of each annotation, 0 for an object to train on: `CROWD` is ignored in scoring, `FLAT` has no area
            within its image, `UNMASKED` has an unusable segmentation.
        ends: cumulative number of annotations up to and including each image.
        has_masks: whether the annotations have segmentations (all have, or none).
        scored: whether there is an object to find; files of test sets have none.
        findings: sentences about oddities, for the log.
    """

    categories: dict[int, str]
    images: list[ImageRecord]
    spans: Int64[np.ndarray, "n 2"]
    flags: Int64[np.ndarray, " n"]
    ends: Int64[np.ndarray, " images"]
    has_masks: bool
    scored: bool
    findings: list[str]

    @property
    def trainable(self) -> Bool[np.ndarray, " images"]:
        """Whether each image has an object to train on."""
        usable = np.concatenate([[0], np.cumsum(self.flags == 0)])
        return usable[self.ends] > usable[np.concatenate([[0], self.ends[:-1]])]


def stamp_of(path: Path) -> Int64[np.ndarray, "3"]:
    """Fingerprint of a file: index version, size and modification time."""
    status = path.stat()
    return np.array([VERSION, status.st_size, status.st_mtime_ns])


def load(kept: Path, stamp: Int64[np.ndarray, "3"]) -> CocoIndex | None:
    """The saved index, or None if there is none for this state of the file."""
    try:
        arrays = read_arrays(kept, int(stamp[1]) + ROOM)
        if not np.array_equal(arrays["stamp"], stamp):
            return None
        content = json.loads(arrays["content"].tobytes())
        index = CocoIndex(
            categories={number: name for number, name in content.pop("categories")},
            images=[ImageRecord(*record) for record in content.pop("images")],
            spans=arrays["spans"],
            flags=arrays["flags"],
            ends=arrays["ends"],
            **content,
        )
        return index if is_sound(index, int(stamp[1])) else None
    except Exception:  # no such file, or any error from a file that is not ours
        return None


def is_sound(index: CocoIndex, size: int) -> bool:
    """Whether the parts of a saved index fit each other and a file of `size` bytes."""
    count, ends = len(index.flags), index.ends
    return (
        index.spans.shape == (count, 2)
        and len(ends) == len(index.images)
        and bool(np.all(np.diff(ends, prepend=0) >= 0) and (not len(ends) or ends[-1] == count))
        and bool(np.all((index.spans >= 0) & (index.spans <= size)))
    )


def save(kept: Path, stamp: Int64[np.ndarray, "3"], index: CocoIndex) -> None:
    """Save an index, if the folder is writable; several processes may do so at the same time."""
    parts = {**vars(index), "categories": [*index.categories.items()]}
    arrays = {name: parts.pop(name) for name in ("spans", "flags", "ends")}
    partial = kept.with_name(f".{kept.name}.{uuid.uuid4().hex}")
    try:
        with partial.open("wb") as file:
            np.savez(file, stamp=stamp, content=np.frombuffer(json.dumps(parts).encode(), np.uint8), **arrays)
        partial.replace(kept)
    except OSError as error:
        logger.info("The index of %s is not kept, and each run makes it anew: %s", kept, error)
        partial.unlink(missing_ok=True)
