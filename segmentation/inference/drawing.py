"""Drawing of label maps: classes tinted over an image, with a legend of colours and shares of the pixels."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int16, UInt8
from torch import Tensor

from segmentation.data.class_list import IGNORED
from segmentation.data.palette import palette
from swinv2.imaging.drawing import (
    LEAST_SIDE,
    Colour,
    Picture,
    resized,
    shorten,
    side_by_side,
    text_height,
    text_width,
    write,
)

GREATEST_SIDE = 2048  # larger pictures are reduced, to half of it for several side by side
OPACITY = 0.5  # opacity of the class colours
ENTRIES = 20  # classes in the legend
NAME_ROOM = 14  # longest name before it is cut, in heights of capitals
GREATEST_TEXT = 24  # greatest height of capitals in the legend, pixels
BLACK, WHITE, GREY = (0, 0, 0), (255, 255, 255), (110, 110, 110)


class Entry(NamedTuple):
    """Line of the legend.

    Attributes:
        colour: colour of the swatch.
        name: name of the class.
        figures: text of its shares of the pixels.
    """

    colour: Colour
    name: str
    figures: str


def overlay(image: UInt8[Tensor, "3 h w"], labels: Int16[Tensor, "h w"], class_names: Sequence[str]) -> Picture:
    """Draw classes over an image, with a legend below; small images are enlarged, large ones reduced.

    Args:
        image: RGB.
        labels: labels of its pixels, -1 to leave the image as it is.
        class_names: names by label.
    """
    picture = resized(image, GREATEST_SIDE)
    entries = legend_entries([labels], class_names)
    legend = draw_legend(entries, "share of pixels", picture.shape[1], text_height(picture))
    return stack(tint(picture, labels, len(class_names)), legend)


def compare(
    image: UInt8[Tensor, "3 h w"], truth: Int16[Tensor, "h w"], labels: Int16[Tensor, "h w"], class_names: Sequence[str]
) -> Picture:
    """Draw an image, its true and its predicted classes side by side, with one legend below.

    Args:
        image: RGB.
        truth: true labels; -1 is ignored and leaves the image as it is.
        labels: predicted labels.
        class_names: names by label.
    """
    picture = resized(image, GREATEST_SIDE // 2)
    tinted = [tint(picture, one, len(class_names)) for one in (truth, labels)]
    panels = side_by_side([picture, *tinted], ["image", "truth", "predicted"])
    entries = legend_entries([truth, labels], class_names)
    legend = draw_legend(entries, "share of pixels: truth | predicted", panels.shape[1], text_height(picture))
    return stack(panels, legend)


def tint(picture: Picture, labels: Int16[Tensor, "h w"], num_classes: int) -> Picture:
    """Blend each pixel's brightness with the colour of its class, and draw white borders between classes.

    Args:
        picture: picture of any size.
        labels: labels, -1 to leave the picture as it is.
        num_classes: number of classes.
    """
    size = picture.shape[1], picture.shape[0]
    nearest = cv2.resize(labels.cpu().numpy(), size, interpolation=cv2.INTER_NEAREST_EXACT)
    colours = palette(num_classes)[nearest]
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    blended = cv2.addWeighted(grey, 1 - OPACITY, colours, OPACITY, 0)
    window = np.ones((1 + max(1, round(min(size) / LEAST_SIDE)),) * 2, np.uint8)
    border = cv2.dilate(nearest, window) != cv2.erode(nearest, window)
    tinted = np.where(border[..., None], np.uint8(255), blended)
    return np.where((nearest == IGNORED)[..., None], picture, tinted)


def legend_entries(maps: Sequence[Int16[Tensor, "h w"]], class_names: Sequence[str]) -> list[Entry]:
    """Entries of the legend: the classes with most pixels first, and the number of further classes.

    Args:
        maps: label maps; an entry shows the class's share of each.
        class_names: names by label.
    """
    shares = np.array([class_shares(labels, len(class_names)) for labels in maps])  # (maps, K)
    total = shares.sum(axis=0)
    found = [label for label in np.argsort(-total, kind="stable").tolist() if total[label] > 0]
    colours = palette(len(class_names)).tolist()
    entries = []
    for label in found[:ENTRIES]:
        red, green, blue = colours[label]
        figures = " | ".join(f"{share:.1%}" for share in shares[:, label])
        entries.append(Entry((red, green, blue), class_names[label], figures))
    return entries + [Entry(WHITE, f"and {len(found) - ENTRIES} more", "")] * (len(found) > ENTRIES)


def class_shares(labels: Int16[Tensor, "h w"], num_classes: int) -> Float[np.ndarray, " k"]:
    """Share of each class in the labelled pixels, 0 if there are none."""
    counts = torch.bincount((labels - IGNORED).flatten(), minlength=num_classes + 1)[1:].cpu().numpy()
    return counts / max(1, counts.sum())


def draw_legend(entries: Sequence[Entry], caption: str, width: int, height: int) -> Picture:
    """Draw the legend in as many columns as there is room for, read downwards.

    Args:
        entries: one per class.
        caption: text above the entries.
        width: width of the picture above, pixels.
        height: height of capitals in the picture, pixels.
    """
    height = min(height, GREATEST_TEXT)
    names = [shorten(entry.name, NAME_ROOM * height, height) for entry in entries]
    name_room = max((text_width(name, height) for name in names), default=0)
    room = 5 * height + name_room + max((text_width(entry.figures, height) for entry in entries), default=0)
    width = max(width, LEAST_SIDE, room)
    rows = math.ceil(len(entries) / (width // room)) or 1
    board = np.full(((2 * rows + 3) * height, width, 3), 255, np.uint8)
    write(board, caption, height, 2 * height, height, GREY)
    for at, (entry, name) in enumerate(zip(entries, names, strict=True)):
        column, row = divmod(at, rows)
        left, bottom = column * room + height, (2 * row + 4) * height
        swatch = (left, bottom - height - 2), (left + round(1.5 * height), bottom + 2)
        cv2.rectangle(board, *swatch, entry.colour, cv2.FILLED)
        write(board, name, left + 2 * height, bottom, height, BLACK)
        end = (column + 1) * room - height
        write(board, entry.figures, end - text_width(entry.figures, height), bottom, height, GREY)
    return board


def stack(picture: Picture, legend: Picture) -> Picture:
    """Stack a picture on its legend, which is at least as wide."""
    beside = legend.shape[1] - picture.shape[1]
    return np.vstack([np.pad(picture, ((0, 0), (0, beside), (0, 0)), constant_values=255), legend])
