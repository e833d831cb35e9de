"""Mean IoU, pixel and class accuracy from a confusion matrix."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int16, Int64
from torch import Tensor
from torchmetrics import Metric

from segmentation.data.class_list import IGNORED

CHUNK = 1 << 20  # pixels counted at once, which bounds memory for large images

OF_NOTHING = dict.fromkeys(("mIoU", "pixel_accuracy", "class_accuracy", "mIoU_skip", "mIoU_zero"), math.nan)

# A class that does not occur is left out of means, as in mmsegmentation, or counts 0, as in ADE20K's own script.
Absent = Literal["skip", "zero"]


class Scores(NamedTuple):
    """Confusion matrix and the scores that follow from it.

    For IoU a class does not occur if it is neither true nor predicted, for accuracy if it is not true: a class that is
    predicted but never true has an IoU of 0, and no accuracy, as in mmsegmentation.

    Attributes:
        confusion: labelled pixels by true class (row) and predicted class (column).
        absent: treatment of classes that do not occur in means: "skip" leaves them out, "zero" counts them 0.
    """

    confusion: Int64[np.ndarray, "k k"]
    absent: Absent

    @property
    def pixels(self) -> Int64[np.ndarray, " k"]:
        """Number of true pixels of each class."""
        return self.confusion.sum(axis=1)

    @property
    def iou(self) -> Float[np.ndarray, " k"]:
        """Intersection over union of each class's true and predicted pixels; NaN if it has neither."""
        return share(self.confusion.diagonal(), self.pixels + self.confusion.sum(axis=0) - self.confusion.diagonal())

    @property
    def accuracy(self) -> Float[np.ndarray, " k"]:
        """Share of each class's true pixels that are predicted correctly; NaN if it has none."""
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
        """Share of all pixels that are predicted correctly."""
        return float(self.confusion.trace() / self.confusion.sum())

    def figures(self) -> dict[str, float]:
        """Metrics to log, by name: means by the chosen convention, mean IoU by both; NaN without pixels."""
        if not self.confusion.any():
            return dict(OF_NOTHING)
        return {
            **{"mIoU": self.mean_iou, "pixel_accuracy": self.pixel_accuracy, "class_accuracy": self.class_accuracy},
            **{"mIoU_skip": mean(self.iou, "skip"), "mIoU_zero": mean(self.iou, "zero")},
        }


class SegmentationScores(Metric):
    """Metric over a data set; each process counts its images, and `compute` uses the sum.

    Args:
        num_classes: number of classes K; labels are 0 to K - 1.
        absent: treatment of classes that do not occur in means: "skip" or "zero", see `Scores`.
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
            labels: predicted labels.
            truth: true labels; -1 is not counted.

        Raises:
            ValueError: a label is out of range, or a labelled pixel has no predicted class.
        """
        parts = zip(labels.flatten().split(CHUNK), truth.to(labels.device).flatten().split(CHUNK), strict=True)
        for predicted, true in parts:
            self.confusion += count(predicted, true, self.num_classes).to(self.confusion.device)

    def compute(self) -> Scores:
        """Scores of all images so far."""
        return Scores(self.confusion.cpu().numpy(), self.absent)


def count(labels: Int16[Tensor, " n"], truth: Int16[Tensor, " n"], num_classes: int) -> Int64[Tensor, "k k"]:
    """Number of labelled pixels by true and predicted class.

    torchmetrics' own count needs memory for pixels × classes² where algorithms must be deterministic.
    """
    bounds = torch.stack([*labels.aminmax(), *truth.aminmax()]).tolist()  # a GPU is waited for once
    for name, low, high in (("predictions", *bounds[:2]), ("truth", *bounds[2:])):
        if low < IGNORED or high >= num_classes:
            raise ValueError(
                f"label {low if low < IGNORED else high} in the {name}: with {num_classes} classes labels are 0 to "
                f"{num_classes - 1}, and {IGNORED} where nothing is known"
            )
    side = num_classes + 1  # the first row and column are those of IGNORED
    cells = (truth.int() - IGNORED) * side + (labels - IGNORED)
    counts = torch.bincount(cells, minlength=side**2).reshape(side, side)
    if counts[1:, 0].any():
        raise ValueError(
            f"the predictions have no class ({IGNORED}) for {int(counts[1:, 0].sum())} pixels whose true class is "
            "known; each of these needs one, 0 or above"
        )
    return counts[1:, 1:]


def share(part: Int64[np.ndarray, " k"], whole: Int64[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Part divided by whole; NaN where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def mean(values: Float[np.ndarray, " k"], absent: Absent) -> float:
    """Mean over classes; those that do not occur are NaN and are left out or count 0."""
    return float(np.nanmean(values) if absent == "skip" else np.nan_to_num(values).mean())


def format_table(scores: Scores, class_names: Sequence[str], columns: int = 2) -> str:
    """Table of scores by class as aligned text, with each class's share of the pixels; a dash where undefined.

    Args:
        scores: scores of the data set.
        class_names: names by label.
        columns: classes per line.
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
    """Text of a score to three digits; a dash for NaN."""
    return "-" if np.isnan(value) else f"{value:.3f}"
