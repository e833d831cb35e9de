"""What a validation leaves to look at: scores by class, and which classes are taken for which."""

import csv
import json
import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from segmentation.scores import Scores

BARS = 40  # above each other, before there is a second column
LABELLED = 40  # classes of the confusion matrix; the names of more would cover each other
WRITTEN = 12  # classes of the confusion matrix whose cells have room for a number
PAIRS = 100  # listed

Row = Sequence[str | int]


def write_report(folder: Path, scores: Scores, class_names: Sequence[str]) -> list[Path]:
    """Write the means, the scores of each class as a table and as bars, the confusion matrix and its largest cells.

    Args:
        folder: where to; it is made if missing.
        scores: of the data set.
        class_names: by label.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ("scores.json", "classes.csv", "classes.png", "confusion.png", "confused.csv")
    means, classes, bars, confusion, confused = paths = [folder / name for name in names]
    means.write_text(json.dumps(scores.figures(), indent=2))
    write_csv(classes, ("class", "pixels", "IoU", "accuracy"), class_rows(scores, class_names))
    pairs = confused_pairs(scores.confusion, class_names)
    write_csv(confused, ("truth", "predicted", "share_of_truth", "pixels"), pairs)
    figures = {bars: draw_bars(scores, class_names), confusion: draw_confusion(scores.confusion, class_names)}
    for path, figure in figures.items():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph", UserWarning)  # a name in letters that the font does not have
            figure.savefig(path, dpi=110)
    return paths


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def class_rows(scores: Scores, class_names: Sequence[str]) -> list[Row]:
    """Name, share of the pixels, IoU and accuracy of each class; empty where it does not occur."""
    shares = scores.pixels / scores.pixels.sum()
    columns = [["" if np.isnan(x) else f"{x:.6f}" for x in values] for values in (shares, scores.iou, scores.accuracy)]
    return list(zip(class_names, *columns, strict=True))


def confused_pairs(confusion: Int64[np.ndarray, "k k"], class_names: Sequence[str]) -> list[Row]:
    """The commonest mistakes: true class, predicted class, share of the true class's pixels, pixels.

    Args:
        confusion: pixels by true and predicted class.
        class_names: by label.
    """
    wrong = confusion * (1 - np.eye(len(confusion), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    pairs = [(int(at) // len(confusion), int(at) % len(confusion)) for at in order]
    pixels = confusion.sum(axis=1)
    return [
        (class_names[true], class_names[found], f"{wrong[true, found] / pixels[true]:.6f}", int(wrong[true, found]))
        for true, found in pairs
        if wrong[true, found] > 0
    ]


def draw_confusion(confusion: Int64[np.ndarray, "k k"], class_names: Sequence[str]) -> Figure:
    """Which share of each class's pixels is taken for which class; of the classes that occur.

    Args:
        confusion: pixels by true and predicted class.
        class_names: by label.
    """
    present = np.flatnonzero(confusion.sum(axis=0) + confusion.sum(axis=1))
    pixels = confusion[present].sum(axis=1, keepdims=True)
    shares = np.where(pixels > 0, confusion[np.ix_(present, present)] / np.maximum(pixels, 1), np.nan)
    side = 4 + 0.22 * min(len(present), LABELLED)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    heat = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1))  # brings out what is seldom confused
    figure.colorbar(heat, label="share of the true class's pixels", shrink=0.8)
    axes.set(xlabel="predicted", ylabel="truth")
    axes.set_facecolor("0.9")  # a class that is predicted and never true
    axes.set_xticks([])
    axes.set_yticks([])
    if len(present) <= LABELLED:
        label_axes(axes, [class_names[label] for label in present.tolist()])
    if len(present) <= WRITTEN:
        for (row, column), value in np.ndenumerate(shares):
            if value >= 0.005:
                ink = "white" if value > 0.3 else "black"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize="small")
    return figure


def label_axes(axes: Axes, names: Sequence[str]) -> None:
    """Write the names of the classes at rows and columns."""
    axes.set_xticks(range(len(names)), names, parse_math=False, fontsize="small", rotation=90)
    axes.set_yticks(range(len(names)), names, parse_math=False, fontsize="small")


def draw_bars(scores: Scores, class_names: Sequence[str]) -> Figure:
    """IoU by class, the best first, with the share of the pixels; without the classes that do not occur.

    Args:
        scores: of the data set.
        class_names: by label.
    """
    iou, shares = scores.iou, scores.pixels / scores.pixels.sum()
    order = [label for label in np.argsort(-iou, kind="stable").tolist() if not math.isnan(iou[label])]
    columns = math.ceil(math.sqrt(len(order) / BARS))
    height = math.ceil(len(order) / columns)
    figure = Figure(figsize=(6.5 * columns, 1.5 + 0.26 * height), layout="constrained")
    left_out = len(class_names) - len(order)
    figure.suptitle("IoU by class" + (f", {left_out} that do not occur left out" if left_out else ""))
    for column in range(columns):
        chosen = order[column * height : (column + 1) * height]
        axes = figure.add_subplot(1, columns, column + 1)
        axes.barh(range(len(chosen)), iou[chosen], 0.8, color="#1b6ca8")
        labels = [f"{class_names[label]} ({shares[label]:.1%})" for label in chosen]
        axes.set_yticks(range(len(chosen)), labels, parse_math=False, fontsize="small")
        axes.set(xlim=(0, 1), ylim=(height - 0.4, -0.6), xlabel="IoU (share of the pixels in brackets)")
        axes.grid(axis="x", color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
