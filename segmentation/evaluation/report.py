"""Report of a validation: scores by class and confusion matrix, as tables and pictures."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from segmentation.evaluation.scores import Scores
from swinv2.files.whole import write_whole
from swinv2.imaging.fonts import legible
from swinv2.training.plots import confused_pairs, draw_confusion, save_figure
from swinv2.training.tables import Row, write_csv

BARS = 40  # bars in a column, before there is a second one


def write_report(folder: Path, scores: Scores, class_names: Sequence[str]) -> list[Path]:
    """Write mean scores, scores of each class as table and bars, the confusion matrix and its largest cells.

    Args:
        folder: folder of the files; it is made if missing.
        scores: scores of the data set.
        class_names: names by label.

    Returns:
        Paths of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ("scores.json", "classes.csv", "classes.png", "confusion.png", "confused.csv")
    means, classes, bars, confusion, confused = paths = [folder / name for name in names]
    write_whole(means, lambda part: part.write_text(json.dumps(scores.figures(), indent=2)))
    write_csv(classes, ("class", "pixels", "IoU", "accuracy"), class_rows(scores, class_names))
    pairs = confused_pairs(scores.confusion, class_names)
    write_csv(confused, ("truth", "predicted", "share_of_truth", "pixels"), pairs)
    save_figure(bars, draw_bars(scores, class_names))
    save_figure(confusion, draw_confusion(scores.confusion, class_names))
    return paths


def class_rows(scores: Scores, class_names: Sequence[str]) -> list[Row]:
    """Name, share of the pixels, IoU and accuracy of each class; empty where undefined."""
    shares = scores.pixels / scores.pixels.sum()
    columns = [["" if np.isnan(x) else f"{x:.6f}" for x in values] for values in (shares, scores.iou, scores.accuracy)]
    return list(zip(class_names, *columns, strict=True))


def draw_bars(scores: Scores, class_names: Sequence[str]) -> Figure:
    """Plot IoU by class, best first, with the share of the pixels; classes that do not occur are left out.

    Args:
        scores: scores of the data set.
        class_names: names by label.
    """
    iou, shares = scores.iou, scores.pixels / scores.pixels.sum()
    order = [label for label in np.argsort(-iou, kind="stable").tolist() if not math.isnan(iou[label])]
    columns = math.ceil(math.sqrt(len(order) / BARS))
    height = math.ceil(len(order) / columns)
    figure = Figure(figsize=(6.5 * columns, 1.5 + 0.26 * height), layout="constrained")
    skipped = len(class_names) - len(order)
    figure.suptitle("IoU by class" + (f", {skipped} that do not occur left out" if skipped else ""))
    for column in range(columns):
        chosen = order[column * height : (column + 1) * height]
        axes = figure.add_subplot(1, columns, column + 1)
        axes.barh(range(len(chosen)), iou[chosen], 0.8, color="#1b6ca8")
        labels = [f"{legible(class_names[label])} ({shares[label]:.1%})" for label in chosen]
        axes.set_yticks(range(len(chosen)), labels, parse_math=False, fontsize="small")
        axes.set(xlim=(0, 1), ylim=(height - 0.4, -0.6), xlabel="IoU (share of the pixels in brackets)")
        axes.grid(axis="x", color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
