"""Drawing of detections: masks, boxes and labels over an image."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from detection.inference.masks import paste_region, to_numpy
from swinv2.imaging.drawing import LEAST_SIDE, Colour, Picture, class_colour, text_height, text_width, write

OPACITY = 0.4  # opacity of masks


class Tag(NamedTuple):
    """Rectangle of a label, in pixels of the picture."""

    left: int
    top: int
    right: int
    bottom: int


class Figure(NamedTuple):
    """Object to draw.

    Attributes:
        corners: left, top, right and bottom of its box, pixels of the picture.
        text: text of its label.
        colour: colour of its class, RGB.
        mask: mask of a part of the picture, and the column and row where the part begins; None for no mask.
    """

    corners: list[int]
    text: str
    colour: Colour
    mask: tuple[Bool[np.ndarray, "p q"], tuple[int, int]] | None

    @property
    def area(self) -> int:
        """Area of the box, square pixels."""
        left, top, right, bottom = self.corners
        return (right - left) * (bottom - top)


def draw_detections(
    image: UInt8[Tensor, "3 h w"],
    detection: dict[str, Any],
    class_names: Sequence[str],
    score_threshold: float = 0.5,
) -> Picture:
    """Draw detected or true objects over an image; small images are enlarged.

    Args:
        image: image, RGB.
        detection: `boxes` in pixels of the image and `labels`; optionally `scores`, and `masks`: probabilities within
            the boxes, or boolean masks of the whole image.
        class_names: names by label.
        score_threshold: objects with a lower score are left out.
    """
    factor = max(1.0, LEAST_SIDE / min(image.shape[-2:]))
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())  # (h, w, 3)
    picture = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC) if factor > 1 else pixels
    picture = picture.copy()
    scores = detection.get("scores", torch.ones(len(detection["labels"])))
    chosen = [at for at, score in enumerate(scores.tolist()) if score >= score_threshold]
    figures = [figure(detection, at, class_names, factor, picture.shape) for at in chosen]
    figures.sort(key=lambda one: one.area, reverse=True)  # small ones on top
    thickness = max(1, round(min(picture.shape[:2]) / 340))
    for one in figures:
        if one.mask is not None:
            draw_mask(picture, *one.mask, one.colour, max(1, thickness // 2))
    for one in figures:
        cv2.rectangle(picture, one.corners[:2], one.corners[2:], one.colour, thickness, cv2.LINE_AA)
    draw_labels(picture, figures)
    return picture


def figure(
    detection: dict[str, Any], at: int, class_names: Sequence[str], factor: float, shape: tuple[int, ...]
) -> Figure:
    """Figure of one object of a detection.

    Args:
        detection: as for `draw_detections`.
        at: index of the object.
        class_names: names by label.
        factor: scale of the picture relative to the image.
        shape: shape of the picture, height first.
    """
    label = int(detection["labels"][at])
    text = f"{class_names[label]} {float(detection['scores'][at]):.0%}" if "scores" in detection else class_names[label]
    box = to_numpy(detection["boxes"][at]) * np.float32(factor)
    region = None
    if "masks" in detection:
        mask = detection["masks"][at]
        if mask.dtype == torch.bool:  # a mask of the whole image
            whole = cv2.resize(mask.cpu().numpy().astype(np.float32), (shape[1], shape[0]))
            region = (whole >= 0.5, (0, 0))
        else:
            inside, top, left = paste_region(to_numpy(mask), box, *shape[:2])
            region = (inside, (left, top))
    limits = (shape[1] - 1, shape[0] - 1) * 2
    corners = [min(max(round(edge), 0), limit) for edge, limit in zip(box.tolist(), limits, strict=True)]
    return Figure(corners, text, class_colour(label, at), region)


def draw_mask(
    picture: Picture, region: Bool[np.ndarray, "p q"], start: tuple[int, int], colour: Colour, thickness: int
) -> None:
    """Tint an object and draw its outline.

    Args:
        picture: picture to draw on.
        region: mask of the object within a part of the picture.
        start: column and row of the picture where the part begins.
        colour: RGB.
        thickness: thickness of the outline, pixels.
    """
    left, top = start
    part = picture[top : top + region.shape[0], left : left + region.shape[1]]
    part[region] = np.round(part[region] * (1 - OPACITY) + np.array(colour) * OPACITY).astype(np.uint8)
    outlines, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=start)
    cv2.drawContours(picture, outlines, -1, colour, thickness, cv2.LINE_AA)


def draw_labels(picture: Picture, figures: Sequence[Figure]) -> None:
    """Write each object's label on a filled tag at its box, inside the picture and, where possible, on no other tag."""
    tags: list[Tag] = []
    height = text_height(picture)
    margin = max(3, height // 3)
    for one in figures:
        tag = place(one.corners, text_width(one.text, height) + 2 * margin, height + 2 * margin, tags, picture.shape)
        tags.append(tag)
        cv2.rectangle(picture, tag[:2], (tag.right - 1, tag.bottom - 1), one.colour, cv2.FILLED)
        ink = (0, 0, 0) if np.dot(one.colour, (0.299, 0.587, 0.114)) > 140 else (255, 255, 255)
        write(picture, one.text, tag.left + margin, tag.bottom - margin, height, ink)


def place(corners: Sequence[int], width: int, height: int, tags: Sequence[Tag], shape: tuple[int, ...]) -> Tag:
    """Place of a label: the first free one of above its box, in it at the top or bottom, and below it.

    Args:
        corners: left, top, right and bottom of the box.
        width: width of the label, pixels.
        height: height of the label, pixels.
        tags: places already taken.
        shape: shape of the picture, height first.
    """
    left, top, _, bottom = corners
    left = max(0, min(left, shape[1] - width))
    rows = [max(0, min(row, shape[0] - height)) for row in (top - height, top, bottom - height, bottom)]
    places = [Tag(left, row, left + width, row + height) for row in rows]
    return next((tag for tag in places if not any(overlap(tag, other) for other in tags)), places[0])


def overlap(one: Tag, other: Tag) -> bool:
    """Whether two rectangles share a pixel."""
    across = min(one.right, other.right) > max(one.left, other.left)
    return across and min(one.bottom, other.bottom) > max(one.top, other.top)
