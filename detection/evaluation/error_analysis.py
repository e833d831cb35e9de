"""Worst errors of a detector: false positives and misses, and a sheet of pictures of them."""

import heapq
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float
from pycocotools import mask as mask_utils

from detection.data.annotations import CocoAnnotations, Id
from swinv2.files.paths import Finder
from swinv2.imaging.decoding.errors import ImageDepthError
from swinv2.imaging.drawing import Colour, Picture, shorten, write
from swinv2.imaging.reading import UnreadableImageError, read_image

FOUND = 0.5  # IoU of a detection with an object from which the object counts as found
NEAR = 0.1  # IoU from which a detection is related to an object
MOST = 100  # greatest number of detections per class and image, as in COCO's evaluation

COLUMNS, TILE, GAP = 6, 256, 12  # of the sheet; side and gap of its tiles in pixels
TEXT, LINE = 12, 21  # height of capitals and distance of lines, pixels
CONTEXT = 2.0  # side of the part shown, relative to that of the boxes in it
LEAST = 48  # least side of the part shown, pixels of the image
GREY, BLACK = (208, 208, 208), (0, 0, 0)
DETECTION, TRUTH = (235, 95, 0), (0, 140, 225)  # orange and blue, which colour-blind people can tell apart

Entry = dict[str, Any]  # entry of a COCO annotation or results file


class Mistake(NamedTuple):
    """False positive or miss.

    Attributes:
        image_id: id of the image.
        detection: the wrong detection; for a miss, the best-scored one near the object, if any.
        truth: the missed object; for a false positive, the object that it may have been meant for, if any.
        caption: class and score, reason, and IoU, a line each.
    """

    image_id: Id
    detection: Entry | None
    truth: Entry | None
    caption: list[str]


def find_mistakes(
    annotations: CocoAnnotations, found: Mapping[Id, Sequence[Entry]], count: int
) -> tuple[list[Mistake], list[Mistake]]:
    """False positives with the highest scores, and the largest missed objects.

    Args:
        annotations: the ground truth.
        found: entries of a COCO results JSON by image id, of all evaluated images.
        count: greatest number of each.
    """
    wrong: list[tuple[float, Id, Entry]] = []
    missed: list[tuple[float, Id, Entry]] = []
    for image_id, results in found.items():
        false_positives, misses = match(results, annotations.of_image(image_id))
        wrong += [(one["score"], image_id, one) for one in false_positives]
        missed += [(one["bbox"][2] * one["bbox"][3], image_id, one) for one in misses]
    worst = [heapq.nlargest(count, ones, key=lambda one: one[0]) for ones in (wrong, missed)]
    names = dict(zip(annotations.category_ids, annotations.class_names, strict=True))
    return (
        [explain_false_positive(i, one, annotations.of_image(i), names) for _, i, one in worst[0]],
        [explain_miss(i, one, found[i], names) for _, i, one in worst[1]],
    )


def match(results: Sequence[Entry], truth: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """False positives and missed objects of one image, by COCO's matching of boxes at IoU 0.5.

    Within each class detections are matched in the order of their scores, each with the unmatched object that it
    overlaps most. A detection in a crowd region is no false positive, and the region itself is never missed.
    """
    wrong: list[Entry] = []
    missed: list[Entry] = []
    for category in {one["category_id"] for one in (*results, *truth)}:
        ours = [one for one in results if one["category_id"] == category]
        ours = sorted(ours, key=lambda one: one["score"], reverse=True)[:MOST]
        theirs = [one for one in truth if one["category_id"] == category]
        left = {at for at, one in enumerate(theirs) if not one.get("iscrowd")}
        crowds = set(range(len(theirs))) - left
        for result, row in zip(ours, overlaps(ours, theirs), strict=True):
            hits = {at for at, overlap in enumerate(row) if overlap >= FOUND}
            if hits & left:
                left.remove(max(hits & left, key=lambda at: (row[at], at)))
            elif not hits & crowds:
                wrong.append(result)
        missed += [theirs[at] for at in sorted(left)]
    return wrong, missed


def overlaps(results: Sequence[Entry], truth: Sequence[Entry]) -> Float[np.ndarray, "results truth"]:
    """IoU of boxes; with a crowd region, the share of the detection that lies in it."""
    if not results or not truth:
        return np.zeros((len(results), len(truth)))
    boxes = [np.array([one["bbox"] for one in ones], np.float64) for ones in (results, truth)]
    return mask_utils.iou(*boxes, [int(one.get("iscrowd", 0)) for one in truth])


def explain_false_positive(image_id: Id, result: Entry, truth: Sequence[Entry], names: Mapping[int, str]) -> Mistake:
    """Explain a false positive by the object that it finds, else one of its class nearby, else any nearby.

    Args:
        image_id: id of the image.
        result: the wrong detection.
        truth: annotations of the image.
        names: names of the categories by id.
    """
    objects = [one for one in truth if not one.get("iscrowd")]
    row = overlaps([result], objects)[0]
    same = [one["category_id"] == result["category_id"] for one in objects]
    near = [at for at, overlap in enumerate(row) if overlap >= NEAR]
    best = max(near, key=lambda at: (row[at] >= FOUND, same[at], row[at]), default=None)
    if best is None:
        reason = "background"
    elif same[best]:
        reason = "duplicate" if row[best] >= FOUND else "badly placed"
    else:
        reason = f"{'confused with' if row[best] >= FOUND else 'beside'} {names[objects[best]['category_id']]}"
    overlap = row.max(initial=0) if best is None else row[best]
    caption = [f"{names[result['category_id']]} {result['score']:.2f}", reason, f"IoU {overlap:.2f}"]
    return Mistake(image_id, result, None if best is None else objects[best], caption)


def explain_miss(image_id: Id, missed: Entry, results: Sequence[Entry], names: Mapping[int, str]) -> Mistake:
    """Explain a miss by the best-scored detection near the object.

    Args:
        image_id: id of the image.
        missed: the object's annotation.
        results: detections of the image.
        names: names of the categories by id.
    """
    row = overlaps(results, [missed])[:, 0]
    near = [at for at, overlap in enumerate(row) if overlap >= NEAR]
    best = max(near, key=lambda at: results[at]["score"], default=None)
    name = names[missed["category_id"]]
    if best is None:
        return Mistake(image_id, None, missed, [name, "nothing found here", ""])
    seen = f"found: {names[results[best]['category_id']]} {results[best]['score']:.2f}"
    return Mistake(image_id, results[best], missed, [name, seen, f"IoU {row[best]:.2f}"])


def draw_sheet(sections: Mapping[str, Sequence[Mistake]], annotations: CocoAnnotations, images: Path) -> Picture:
    """Draw a sheet of mistakes: for each the part of the image around it, with boxes and caption.

    Args:
        sections: mistakes by title.
        annotations: the ground truth, with the images' file names.
        images: folder of the images.
    """
    width = COLUMNS * (TILE + GAP) + GAP
    rows = [draw_key(width)]
    for title, mistakes in sections.items():
        bar = np.full((3 * LINE, width, 3), 255, np.uint8)
        write(bar, title if mistakes else f"{title}: none", GAP, 2 * LINE, round(1.6 * TEXT), BLACK)
        tiles = [draw_tile(one, annotations, images) for one in mistakes]
        lines = [np.hstack(tiles[at : at + COLUMNS]) for at in range(0, len(tiles), COLUMNS)]
        padded = [np.pad(x, ((0, 0), (GAP, width - GAP - x.shape[1]), (0, 0)), constant_values=255) for x in lines]
        rows += [bar, *padded]
    return np.vstack(rows)


def draw_key(width: int) -> Picture:
    """Draw the legend of the colours, as a bar of some width in pixels."""
    key = np.full((2 * LINE, width, 3), 255, np.uint8)
    for place, (text, colour) in enumerate({"detection": DETECTION, "truth": TRUTH}.items()):
        left = GAP + place * TILE // 2
        cv2.rectangle(key, (left, LINE - TEXT), (left + TEXT, LINE), colour, cv2.FILLED)
        write(key, text, left + 2 * TEXT, LINE, TEXT, BLACK)
    return key


def draw_tile(mistake: Mistake, annotations: CocoAnnotations, images: Path) -> Picture:
    """Draw one mistake with its caption and the gap to its right; grey where the image cannot be read."""
    record = annotations.images[mistake.image_id]
    boxes = [
        (corners(one["bbox"]), colour)
        for one, colour in ((mistake.truth, TRUTH), (mistake.detection, DETECTION))
        if one is not None
    ]
    try:
        file = Finder(images).find(record.file_name) or images / record.file_name
        pixels = read_image(file, (record.height, record.width)).permute(1, 2, 0).numpy()
    except (UnreadableImageError, ImageDepthError):
        view = np.full((TILE, TILE, 3), GREY, np.uint8)
        write(view, "image cannot be read", GAP, TILE // 2, TEXT, BLACK)
    else:
        view = draw_part(pixels, boxes)
    tile = np.full((TILE + 4 * LINE, TILE + GAP, 3), 255, np.uint8)
    tile[:TILE, :TILE] = view
    for place, text in enumerate(mistake.caption):
        write(tile, shorten(text, TILE, TEXT), 0, TILE + LINE * (place + 1), TEXT, BLACK)
    return tile


def draw_part(pixels: Picture, boxes: Sequence[tuple[Float[np.ndarray, "4"], Colour]]) -> Picture:
    """Draw the square part of an image around some boxes, resized to a tile; grey beyond the image.

    Args:
        pixels: pixels of the image, RGB.
        boxes: boxes, xyxy in pixels, and their colours.
    """
    together = np.array([box for box, _ in boxes])
    start, end = together[:, :2].min(axis=0), together[:, 2:].max(axis=0)
    size = np.array(pixels.shape[1::-1])  # width, height
    side = min(math.ceil(max((end - start).max() * CONTEXT, LEAST)), int(size.max()))
    inside = np.clip(np.floor((start + end - side) / 2), 0, np.maximum(size - side, 0))
    corner = np.where(size >= side, inside, (size - side) // 2).astype(int)
    factor = TILE / side
    first, last = np.maximum(corner, 0), np.minimum(corner + side, size)
    (left, top), (right, bottom) = np.round((np.array([first, last]) - corner) * factor).astype(int).tolist()
    part = pixels[first[1] : last[1], first[0] : last[0]]
    wanted = max(right - left, 1), max(bottom - top, 1)
    view = np.full((TILE, TILE, 3), GREY, np.uint8)
    view[top : top + wanted[1], left : left + wanted[0]] = cv2.resize(
        np.ascontiguousarray(part), wanted, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    )
    for thickness in (4, 2):
        for box, colour in boxes:
            near = np.clip(box.reshape(2, 2), -size, 2 * size)  # OpenCV takes 32-bit coordinates only
            start, end = np.round((near - corner) * factor).astype(int)
            cv2.rectangle(view, start.tolist(), end.tolist(), colour if thickness == 2 else BLACK, thickness)
    return view


def corners(box: Sequence[int | float]) -> Float[np.ndarray, "4"]:
    """Left, top, right and bottom of a COCO box."""
    left, top, width, height = box
    return np.array([left, top, left + width, top + height], np.float64)
