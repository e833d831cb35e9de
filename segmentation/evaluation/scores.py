"""How well classes are told apart: mean IoU, pixel and class accuracy, all from one confusion matrix."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int16, Int64
from torch import Tensor
from torchmetrics import Metric

from segmentation.data.class_list import IGNORED

CHUNK = 1 << 20  # pixels counted at once, which bounds the memory whatever the size of an image

OF_NOTHING = dict.fromkeys(("mIoU", "pixel_accuracy", "class_accuracy", "mIoU_skip", "mIoU_zero"), math.nan)

# What a class counts that does not occur: nothing, as in mmsegmentation, or 0, as in the ADE20K benchmark's own script.
Absent = Literal["skip", "zero"]


class Scores(NamedTuple):
    """What was scored, and how well.

    For IoU a class does not occur if it is neither true nor predicted, for accuracy if it is not true: one that is
    predicted and never true has an IoU of 0, and no accuracy, as in mmsegmentation.

    Attributes:
        confusion: pixels by true class (row) and predicted class (column), those with known truth only.
        absent: what classes that do not occur are to the means: "skip" leaves them out, "zero" counts them 0.
    """

    confusion: Int64[np.ndarray, "k k"]
    absent: Absent

    @property
    def pixels(self) -> Int64[np.ndarray, " k"]:
        """True pixels of each class."""
        return self.confusion.sum(axis=1)

    @property
    def iou(self) -> Float[np.ndarray, " k"]:
        """Intersection over union of each class's true and predicted pixels; not a number if it has neither."""
        return share(self.confusion.diagonal(), self.pixels + self.confusion.sum(axis=0) - self.confusion.diagonal())

    @property
    def accuracy(self) -> Float[np.ndarray, " k"]:
        """Share of each class's true pixels that are found; not a number if it has none."""
        return share(self.confusion.diagonal(), self.pixels)

    @property
    def mean_iou(self) -> float:
        """Mean of the classes' IoU."""
        return mean(self.iou, self.absent)

    @property
    def class_accuracy(self) -> float:
        """Mean of the classes' accuracy."""
        return mean(self.accuracy, self.absent)

    @property
    def pixel_accuracy(self) -> float:
        """Share of all pixels whose class is found."""
        return float(self.confusion.trace() / self.confusion.sum())

    def figures(self) -> dict[str, float]:
        """What is logged: all means by the chosen convention, and mean IoU by both; not a number of nothing."""
        if not self.confusion.any():
            return dict(OF_NOTHING)
        return {
            **{"mIoU": self.mean_iou, "pixel_accuracy": self.pixel_accuracy, "class_accuracy": self.class_accuracy},
            **{"mIoU_skip": mean(self.iou, "skip"), "mIoU_zero": mean(self.iou, "zero")},
        }


class SegmentationScores(Metric):
    """Scores of a whole data set; under several processes each counts its images and `compute` takes the sum.

    Args:
        num_classes: K; labels are 0 to K - 1.
        absent: what classes that do not occur are to the means: "skip" or "zero", see `Scores`.
    """

    full_state_update = False
    confusion: Tensor

    def __init__(self, num_classes: int, absent: Absent = "skip") -> None:
        super().__init__()
        self.num_classes = num_classes
        self.absent: Absent = absent
        self.add_state("confusion", torch.zeros(num_classes, num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, labels: Int16[Tensor, "h w"], truth: Int16[Tensor, "h w"]) -> None:
        """Count one image.

        Args:
            labels: predicted.
            truth: true labels, -1 where nothing is known, which is not counted.

        Raises:
            ValueError: a label is out of range, or a pixel with known truth has no predicted class.
        """
        parts = zip(labels.flatten().split(CHUNK), truth.to(labels.device).flatten().split(CHUNK), strict=True)
        for predicted, true in parts:
            self.confusion += count(predicted, true, self.num_classes).to(self.confusion.device)

    def compute(self) -> Scores:
        """Scores of all images so far."""
        return Scores(self.confusion.cpu().numpy(), self.absent)


def count(labels: Int16[Tensor, " n"], truth: Int16[Tensor, " n"], num_classes: int) -> Int64[Tensor, "k k"]:
    """Pixels by true and predicted class, without those of unknown truth.

    torchmetrics' own count needs memory for pixels × classes² where algorithms have to be deterministic.
    """
    for name, values in {"predictions": labels, "truth": truth}.items():
        low, high = (int(bound) for bound in values.aminmax())
        if low < IGNORED or high >= num_classes:
            raise ValueError(
                f"label {low if low < IGNORED else high} in the {name}: with {num_classes} classes labels are 0 to "
                f"{num_classes - 1}, and {IGNORED} where nothing is known"
            )
    side = num_classes + 1  # the first row and column are of what is not known
    cells = (truth.int() - IGNORED) * side + (labels - IGNORED)
    counts = torch.bincount(cells, minlength=side**2).reshape(side, side)
    if counts[1:, 0].any():
        raise ValueError(
            f"the predictions have no class ({IGNORED}) for {int(counts[1:, 0].sum())} pixels whose true class is "
            "known; each of these needs one, 0 or above"
        )
    return counts[1:, 1:]


def share(part: Int64[np.ndarray, " k"], whole: Int64[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Part of a whole, not a number where the whole is nothing."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def mean(values: Float[np.ndarray, " k"], absent: Absent) -> float:
    """Mean over classes, of which those that do not occur are not a number."""
    return float(np.nanmean(values) if absent == "skip" else np.nan_to_num(values).mean())


def format_table(scores: Scores, class_names: Sequence[str], columns: int = 2) -> str:
    """Scores by class as aligned text, with each class's share of the pixels; a dash where a class does not occur.

    Args:
        scores: of all classes.
        class_names: by label.
        columns: classes a line.
    """
    shares = scores.pixels / scores.pixels.sum()
    cells = [[f"{x:.1%}" for x in shares]] + [[figure(x) for x in values] for values in (scores.iou, scores.accuracy)]
    rows = [("class", "pixels", "IoU", "accuracy"), *zip(class_names, *cells, strict=True)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    texts = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    height = -(-len(class_names) // columns)
    used = -(-len(class_names) // height)
    lines = [[texts[0]] * used, *(texts[1 + start :: height] for start in range(height))]
    return "\n".join("  |  ".join(line) for line in lines)


def figure(value: float) -> str:
    """A score to three digits, a dash for what is not a number."""
    return "-" if np.isnan(value) else f"{value:.3f}"
