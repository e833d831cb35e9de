"""Confusion matrix as a matplotlib figure and as a table of its largest cells; figures as files."""

import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from matplotlib import rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from ..files.whole import write_bytes
from ..imaging.fonts import in_use, legible
from .tables import Row

LABELLED = 40  # classes; the names of more would cover each other
WRITTEN = 12  # classes whose cells have room for a number
PAIRS = 100  # rows of the table of mistakes, at most


def confused_pairs(confusion: Int64[np.ndarray, "k k"], class_names: Sequence[str]) -> list[Row]:
    """Rows of the commonest mistakes: true class, predicted class, share of the true class, number.

    Args:
        confusion: number of each true class (row) predicted as each class (column).
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
    """Figure of the confusion matrix, as shares of each true class; only classes that occur are shown.

    Args:
        confusion: number of each true class (row) predicted as each class (column).
        class_names: by label.
    """
    present = np.flatnonzero(confusion.sum(axis=0) + confusion.sum(axis=1))
    pixels = confusion[present].sum(axis=1, keepdims=True)
    shares = np.where(pixels > 0, confusion[np.ix_(present, present)] / np.maximum(pixels, 1), np.nan)
    side = 4 + 0.22 * min(len(present), LABELLED)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    heat = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1))  # makes small shares visible
    figure.colorbar(heat, label="share of the true class", shrink=0.8)
    axes.set(xlabel="predicted", ylabel="truth")
    axes.set_facecolor("0.9")  # for classes that are predicted but never true
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
    names = [legible(name) for name in names]
    axes.set_xticks(range(len(names)), names, parse_math=False, fontsize="small", rotation=90)
    axes.set_yticks(range(len(names)), names, parse_math=False, fontsize="small")


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure to a file whose suffix names the format.

    Args:
        path: the file; its folder must exist.
        figure: with names as `legible` gives them.

    Raises:
        OSError: the file cannot be written.
    """
    fonts: Any = {"font.sans-serif": [*rcParams["font.sans-serif"], *in_use]}
    with warnings.catch_warnings(), rc_context(fonts):
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        data = BytesIO()
        figure.savefig(data, format=path.suffix[1:], dpi=110)
    write_bytes(path, data.getvalue())
