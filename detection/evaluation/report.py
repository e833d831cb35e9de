"""Pictures of a validation: precision-recall curves, average precision by class, and the worst mistakes."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from detection.evaluation.average_precision import ClassScore
from detection.evaluation.coco_evaluator import CocoEvaluator
from detection.evaluation.error_analysis import draw_sheet, find_mistakes
from swinv2.imaging.drawing import save
from swinv2.imaging.fonts import legible
from swinv2.training.plots import save_figure

MOST_CURVES = 20  # greatest number of classes with curves of their own
MISTAKES = 18  # false positives, and as many misses
LONGEST = 40  # characters of a class's name
CLASSES = 40  # bars in a column, before there is a second one
MEANS = {"0.50": slice(0, 1), "0.75": slice(5, 6), "0.50:0.95": slice(None)}  # slices of COCO's ten IoU thresholds
COLOURS = ("#1b6ca8", "#d1495b", "#222222")
BARS = {"box": "#1b6ca8", "mask": "#edae49"}

Curves = Float[np.ndarray, "overlaps recalls classes"]


def write_report(folder: Path, evaluator: CocoEvaluator, images: Path) -> list[Path]:
    """Write `precision_recall.png`, `class_ap.png` and `mistakes.png`.

    Args:
        folder: folder of the pictures; it is made if missing.
        evaluator: evaluator after `compute`, in the first process.
        images: folder of the evaluated images.

    Returns:
        Paths of the pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.png" for name in ("precision_recall", "class_ap", "mistakes")]
    names = [score.name for score in evaluator.class_scores]
    figures = draw_curves(evaluator.curves, names), draw_bars(evaluator.class_scores)
    for path, figure in zip(paths[:2], figures, strict=True):
        save_figure(path, figure)
    wrong, missed = find_mistakes(evaluator.annotations, evaluator.found, MISTAKES)
    sections = {"False positives with the highest scores": wrong, "Largest objects missed": missed}
    save(paths[-1], draw_sheet(sections, evaluator.annotations, images))
    return paths


def draw_curves(curves: Mapping[str, Curves], names: Sequence[str]) -> Figure:
    """Plot precision over recall of boxes and masks: means over the classes and, if they are few, each class.

    Args:
        curves: `precision_curves` by kind, "box" and "mask".
        names: names of the classes.
    """
    known = {kind: np.flatnonzero(~np.isnan(precision[0, 0])).tolist() for kind, precision in curves.items()}
    each = any(0 < len(labels) <= MOST_CURVES for labels in known.values())  # then names stand beside the panels
    figure = Figure(figsize=((7 if each else 5.4) * max(len(curves), 1), 5), layout="constrained")
    for place, (kind, precision) in enumerate(curves.items(), start=1):
        axes = figure.add_subplot(1, len(curves), place)
        axes.set(title=kind, xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        draw_panel(axes, precision[:, :, known[kind]], [label(names[place]) for place in known[kind]])
    return figure


def label(name: str) -> str:
    """Name of a class in drawable characters, cut if it is long."""
    text = " ".join(legible(name).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def draw_panel(axes: Axes, precision: Curves, names: Sequence[str]) -> None:
    """Plot the curves of boxes or of masks.

    Args:
        axes: axes to draw on.
        precision: precision of the classes that have objects.
        names: names of these classes.
    """
    if not names:
        axes.text(0.5, 0.5, "no objects", ha="center", va="center")
        return
    recall = np.linspace(0, 1, precision.shape[1])
    means = []
    for (overlap, chosen), colour in zip(MEANS.items(), COLOURS, strict=True):
        mean = precision[chosen].mean(axis=(0, 2))
        means += axes.plot(
            recall, mean, color=colour, linewidth=2.2, zorder=3, label=f"{overlap}   AP {mean.mean():.3f}"
        )
    axes.add_artist(axes.legend(handles=means, title="mean, IoU", loc="lower left", fontsize="small"))
    if len(names) > MOST_CURVES:
        return
    lines = []
    for place, (name, curve) in enumerate(zip(names, precision[0].T, strict=True)):
        label = f"{curve.mean():.3f}  {name}"
        lines += axes.plot(recall, curve, color=f"C{place}", linewidth=1, alpha=0.45, label=label)
    legend = axes.legend(handles=lines, title="IoU 0.50", loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    legend.set_frame_on(False)
    for text in legend.get_texts():
        text.set_parse_math(False)


def draw_bars(scores: Sequence[ClassScore]) -> Figure:
    """Plot average precision by class, best first, with the number of objects; classes without objects are left out.

    Args:
        scores: one per class.
    """
    known = [score for score in scores if not math.isnan(score.ap["box"])]
    known.sort(key=lambda score: score.ap["box"], reverse=True)
    columns = math.ceil(math.sqrt(len(known) / CLASSES)) or 1
    height = math.ceil(len(known) / columns)
    figure = Figure(figsize=(6.5 * columns, 1.5 + 0.26 * height), layout="constrained")
    skipped = len(scores) - len(known)
    figure.suptitle("AP (IoU 0.50:0.95) by class" + (f", {skipped} without objects left out" if skipped else ""))
    for column in range(columns):
        draw_column(figure.add_subplot(1, columns, column + 1), known[column * height : (column + 1) * height], height)
    return figure


def draw_column(axes: Axes, scores: Sequence[ClassScore], height: int) -> None:
    """Plot one column of bars.

    Args:
        axes: axes to draw on.
        scores: one per bar, or per pair of bars for boxes and masks.
        height: height of the column, in bars.
    """
    kinds = list(scores[0].ap) if scores else []
    thickness = 0.8 / max(len(kinds), 1)
    for place, kind in enumerate(kinds):
        rows = np.arange(len(scores)) + (place + 0.5) * thickness - 0.4
        axes.barh(rows, [score.ap[kind] for score in scores], thickness, color=BARS[kind], label=kind)
    labels = [f"{label(score.name)} ({score.objects})" for score in scores]
    axes.set_yticks(range(len(scores)), labels, parse_math=False, fontsize="small")
    axes.set(xlim=(0, 1), ylim=(height - 0.4, -0.6), xlabel="AP (objects in brackets)")
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if kinds:
        axes.legend(loc="lower right", fontsize="small")
