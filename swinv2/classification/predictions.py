"""Most probable classes of images: as text, as a table and drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from ..imaging.drawing import LEAST_SIDE, Picture, text_height, write
from ..training.tables import write_csv
from .scores import TOP

PRINTED = 50  # images
GREATEST_SIDE = 60_000  # of a picture, pixels; a JPEG has 65,535 at most
NAME = 24  # characters of a class name that are printed
BLACK, BAR, WHITE = (0, 0, 0), (186, 214, 235), 255
LINE = 1.8  # height of a line over that of capitals

Predictions = Sequence[tuple[str, float]]  # class names and their probabilities, the most probable first


def best_predictions(probabilities: Float[Tensor, "n k"], class_names: Sequence[str]) -> list[Predictions]:
    """Five most probable classes of each image, or all if there are fewer."""
    top = probabilities.topk(min(TOP, len(class_names)), dim=1)
    return [
        [(class_names[label], share) for label, share in zip(labels, shares, strict=True)]
        for labels, shares in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    ]


def format_predictions(found: Mapping[str, Predictions]) -> str:
    """Predictions as aligned text, a line for each of the first `PRINTED` images.

    Args:
        found: predictions by the path of the image.
    """
    shown = [(printable(name), predictions) for name, predictions in list(found.items())[:PRINTED]]
    cells = [[f"{share:.3f} {name[:NAME]}" for name, share in predictions] for _, predictions in shown]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    room = max(len(name) for name, _ in shown)
    lines = [
        f"{name:{room}}  " + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for (name, _), row in zip(shown, cells, strict=True)
    ]
    return "\n".join(lines + [f"and {len(found) - PRINTED} more"] * (len(found) > PRINTED))


def printable(name: str) -> str:
    """File name whose bytes that are not UTF-8 are replaced, so that a terminal can print it."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def write_predictions(path: Path, found: Mapping[str, Predictions]) -> None:
    """Write a table: the image, then each predicted class and its probability.

    Args:
        path: file to write, .csv.
        found: predictions by the path of the image, the same number for each.
    """
    ranks = range(1, 1 + max(map(len, found.values())))
    header = ["image", *(f"{what}_{rank}" for rank in ranks for what in ("class", "probability"))]
    rows = [[name, *(cell for guess, share in row for cell in (guess, f"{share:.6f}"))] for name, row in found.items()]
    write_csv(path, header, rows)


def draw_predictions(image: UInt8[Tensor, "3 h w"], predictions: Predictions) -> Picture:
    """Picture of an image above a line for each predicted class: probability, also as a bar, and name.

    Args:
        image: RGB; a small image is enlarged so that names can be read, one too long for a JPEG is reduced.
        predictions: of this image.
    """
    picture = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    longest = max(picture.shape[:2])
    factor = LEAST_SIDE / longest
    if factor > 1:
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    if longest > GREATEST_SIDE:
        rows, columns = (max(1, side * GREATEST_SIDE // longest) for side in picture.shape[:2])
        picture = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)
    beside = max(0, LEAST_SIDE - picture.shape[1])
    picture = np.pad(picture, ((0, 0), (0, beside), (0, 0)), constant_values=WHITE)
    height = text_height(picture)
    step = round(LINE * height)
    board = np.full((step * len(predictions) + height // 2, picture.shape[1], 3), WHITE, np.uint8)
    for row, (name, share) in enumerate(predictions):
        top, bottom = row * step + height // 4, (row + 1) * step
        cv2.rectangle(board, (0, top), (round(share * board.shape[1]), bottom), BAR, cv2.FILLED)
        write(board, f"{share:.3f}  {name}", height // 2, bottom - height // 3, height, BLACK)
    return np.vstack([picture, board])
