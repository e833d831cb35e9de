"""Checks of an annotation's segmentation: its extent in the image, or the reason why it is unusable."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from detection.data.coco_fields import Number, is_finite, is_number, shown, whole

Spans = tuple[tuple[Number, Number], ...]  # (start, end) along x and, for polygons, y, in pixels

LEAST = 6  # least numbers of a polygon: three corners
FAR = 10  # a corner may lie this many times the longer side outside of the image
NUMBERS = {int, float}
BASE, CHARACTERS = 48, 64  # COCO's compressed runs: six bits a character, counted from "0"
MORE, SIGN, BITS = 0x20, 0x10, 0x1F  # of the six bits: another character follows, sign, value
NO_AREA, NO_PIXEL = "has polygons without any area", "has run lengths without any pixel in the object"
BIG = 12  # most characters of a number; more do not fit into 64 bits


def examine(segmentation: Any, height: int, width: int) -> str | Spans:
    """Problem of a segmentation, as text that continues "its segmentation …", or its extent if it has none.

    Args:
        segmentation: polygons or run lengths; see `coco_fields.is_empty` for those that are neither.
        height: height of the image, pixels.
        width: width of the image, pixels.

    Returns:
        The problem, or the range of columns and, for polygons, that of rows.
    """
    if isinstance(segmentation, list):
        return examine_polygons(segmentation, height, width)
    if isinstance(segmentation, dict):
        return examine_runs(segmentation, height, width)
    return f"is {shown(segmentation)}; COCO has lists of polygons, or run lengths with size and counts"


def polygons_of(segmentation: Sequence[Any]) -> list[list[Any]]:
    """The parts of a segmentation that are polygons: three corners or more, each of two numbers."""
    return [part for part in segmentation if isinstance(part, list) and len(part) >= LEAST and len(part) % 2 == 0]


def examine_polygons(segmentation: list[Any], height: int, width: int) -> str | Spans:
    """`examine` for a list; one good polygon is enough, but no part may have impossible numbers."""
    polygons = polygons_of(segmentation)
    if not polygons:
        return unusable(segmentation)
    outside = FAR * max(height, width)
    edges, thin = [], True
    for polygon in polygons:
        if not {*map(type, polygon)} <= NUMBERS:
            return unusable(polygon)
        if not is_finite(sum(polygon)):
            return "has a coordinate that is not a number (NaN or infinite)"
        xs, ys = polygon[::2], polygon[1::2]
        left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
        if left < -outside or top < -outside or right > outside or bottom > outside:
            wrong = max(left, right, top, bottom, key=abs)
            return f"has the coordinate {wrong:g}, far outside of the image of {height} x {width} pixels"
        thin = thin and (left == right or top == bottom)
        edges.append((left, right, top, bottom))
    if thin:
        return NO_AREA
    if len(edges) > 1:
        left, right, top, bottom = (
            pick(ends) for pick, ends in zip((min, max) * 2, zip(*edges, strict=True), strict=True)
        )
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        return f"lies outside of its image of {height} x {width} pixels"
    return (left, right), (top, bottom)


def unusable(segmentation: list[Any]) -> str:
    """Reason why a list has no polygon in it, with the form that it should have."""
    form = "COCO writes [[x1, y1, x2, y2, …]], a flat list for each polygon, in pixels"
    first = next((part for part in segmentation if part not in ([], None)), None)
    if isinstance(first, dict) or (isinstance(first, list) and any(isinstance(part, dict) for part in first)):
        return 'has run lengths within a list; COCO writes {"size": [height, width], "counts": …} alone'
    if isinstance(first, list) and first and isinstance(first[0], list | dict):
        return f"has points in lists of their own, in lists too many; {form}"
    if isinstance(first, list) and len(first) == 2 and len(segmentation) > 1:
        return f"has points as pairs [[x, y], [x, y], …]; {form}"
    if is_number(first):
        return f"is one flat list [x, y, …]; {form}"
    if not isinstance(first, list) or not {*map(type, first)} <= NUMBERS:
        return f"has {shown(first)}, which are no numbers; {form}"
    if len(first) % 2:
        return f"has a polygon of {len(first)} numbers, an odd number; {form}"
    return f"has a polygon of {len(first) // 2} corners; it needs three or more; {form}"


def examine_runs(segmentation: dict[str, Any], height: int, width: int) -> str | Spans:
    """`examine` for run lengths, plain or compressed: they must have the image's size and add up to its pixels."""
    size, counts = segmentation.get("size"), segmentation.get("counts")
    sides = [whole(side) for side in size] if isinstance(size, list) else None
    if sides != [height, width]:
        return f"is a mask of {shown(size)} in an image of [{height}, {width}] (height, width); the two must agree"
    if isinstance(counts, list):
        if not {*map(type, counts)} <= {int} or min(counts, default=0) < 0:
            return f"has the run lengths {shown(counts)}; they are whole numbers of 0 or more"
        total, inside = sum(counts), sum(counts[1::2])
        before, after = (counts or [0])[0], counts[-1] if len(counts) % 2 else 0
    elif isinstance(counts, str):
        if not is_compressed(counts):
            fix = "; it is the text of Python's bytes: write counts.decode()" if counts[:2] in ("b'", 'b"') else ""
            return f"has compressed run lengths with letters that none have, {shown(counts)}{fix}"
        runs = decompress(counts)
        if runs is None or runs.min(initial=0) < 0:
            return f"has compressed run lengths that are damaged, {shown(counts)}"
        total, inside = int(runs.sum()), int(runs[1::2].sum())
        before, after = int(runs[:1].sum()), int(runs[-1]) if len(runs) % 2 else 0
    else:
        return f"has counts {shown(counts)}; they are a list of run lengths or their compressed text"
    if total != height * width:
        return f"has run lengths that add up to {total} of the {height * width} pixels of its image"
    if not inside:
        return NO_PIXEL
    return ((before // height, (total - after - 1) // height + 1),)


def is_compressed(counts: str) -> bool:
    """Whether a text has only characters that COCO's compression writes."""
    return counts.isascii() and all(BASE <= byte < BASE + CHARACTERS for byte in {*counts.encode("ascii")})


def decompress(counts: str) -> Int64[np.ndarray, " n"] | None:
    """Run lengths from COCO's compressed text; None if it ends within a number or has one too large.

    Each number is written in groups of five bits, the lowest first, as the difference from the one before the last.

    Args:
        counts: text that `is_compressed` accepts.
    """
    codes = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - BASE
    ends = np.flatnonzero((codes & MORE) == 0)
    if not len(codes):
        return np.zeros(0, np.int64)
    if not len(ends) or ends[-1] != len(codes) - 1:
        return None
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > BIG:
        return None
    place = np.arange(len(codes)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & BITS) << (5 * place), starts)
    numbers -= np.where(codes[ends] & SIGN, 1 << (5 * lengths), 0)
    runs = numbers.copy()  # the first three are no differences
    runs[1::2] = np.cumsum(numbers[1::2])
    runs[2::2] = np.cumsum(numbers[2::2])
    return runs
