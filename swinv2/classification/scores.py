"""Accuracy of image and video classification: top-1, top-5, mean class accuracy and ReaL."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchmetrics import Metric

TOP = 5  # predictions of top-5 accuracy
CONFUSED = 4096  # most classes of a confusion matrix; one of more would take gigabytes
LISTED = 100  # classes in the printed table; of more, only the least accurate are printed


class Scores(NamedTuple):
    """Counts of a validation, and the scores by them.

    Attributes:
        counts: number of items of each class.
        right: number of items of each class whose best prediction is the true class.
        in_top: number of items with the true class among the five best predictions.
        confusion: number of each true class (row) predicted as each class (column); None for very many classes.
        real: number of items whose best prediction is among their ReaL labels, and number of items with such labels.
    """

    counts: Int64[np.ndarray, " k"]
    right: Int64[np.ndarray, " k"]
    in_top: int
    confusion: Int64[np.ndarray, "k k"] | None = None
    real: tuple[int, int] = (0, 0)

    @property
    def number(self) -> int:
        """Number of scored items."""
        return int(self.counts.sum())

    @property
    def top1(self) -> float:
        """Share of items whose best prediction is the true class."""
        return float(self.right.sum() / self.counts.sum())

    @property
    def top5(self) -> float:
        """Share of items with the true class among the five best predictions."""
        return float(self.in_top / self.counts.sum())

    @property
    def accuracy(self) -> Float[np.ndarray, " k"]:
        """Top-1 accuracy of each class; NaN for a class that does not occur."""
        return np.where(self.counts > 0, self.right / np.maximum(self.counts, 1), np.nan)

    @property
    def class_accuracy(self) -> float:
        """Mean accuracy of the classes that occur."""
        return float(np.nanmean(self.accuracy))

    def figures(self) -> dict[str, float]:
        """Metrics to log, by name."""
        right, scored = self.real
        more = {"real": right / scored} if scored else {}
        return {"top1": self.top1, "top5": self.top5, "class_accuracy": self.class_accuracy, **more}


class ClassificationScores(Metric):
    """Metric over a whole data set; each process counts its part, and `compute` sums over processes.

    Args:
        num_classes: K; labels are 0 to K - 1.
    """

    full_state_update = False
    counts: Tensor
    right: Tensor
    in_top: Tensor
    confusion: Tensor
    real: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        cells = num_classes**2 if num_classes <= CONFUSED else 0
        sizes = {"counts": num_classes, "right": num_classes, "in_top": 1, "confusion": cells, "real": 2}
        for name, size in sizes.items():
            self.add_state(name, torch.zeros(size, dtype=torch.int64), dist_reduce_fx="sum")

    def update(
        self, scores: Float[Tensor, "n k"], labels: Int64[Tensor, " n"], real: Sequence[Sequence[int]] = ()
    ) -> None:
        """Count a batch.

        Args:
            scores: logits or probabilities.
            labels: true classes.
            real: ReaL labels of each item: all correct classes; an item without any is not scored by them.
        """
        num_classes, ones = len(self.counts), torch.ones_like(labels)
        predictions = scores.topk(min(TOP, num_classes), dim=1).indices  # (n, 5), the best first
        hits = predictions == labels[:, None]
        self.counts.index_add_(0, labels, ones)
        self.right.index_add_(0, labels, hits[:, 0].long())
        self.in_top += hits.sum()
        if len(self.confusion):
            self.confusion.index_add_(0, labels * num_classes + predictions[:, 0], ones)
        if any(real):
            right = sum(guess in seen for guess, seen in zip(predictions[:, 0].tolist(), real, strict=True))
            self.real += torch.tensor([right, sum(map(bool, real))], device=self.real.device)

    def compute(self) -> Scores:
        """Scores of all items so far.

        Raises:
            ValueError: there were none.
        """
        if not self.counts.any():
            raise ValueError("there is nothing to score: none of the validation data could be read")
        counts, right, real = (state.cpu().numpy() for state in (self.counts, self.right, self.real))
        confusion = self.confusion.cpu().numpy().reshape(len(counts), -1) if len(self.confusion) else None
        return Scores(counts, right, int(self.in_top), confusion, (int(real[0]), int(real[1])))


def format_table(scores: Scores, class_names: Sequence[str]) -> str:
    """Accuracy and number of items by class as aligned text; a dash for a class that does not occur.

    Of more than `LISTED` classes it has the least accurate.
    """
    accuracy = scores.accuracy
    many = len(class_names) > LISTED
    shown = np.argsort(accuracy, kind="stable")[:LISTED].tolist() if many else range(len(class_names))
    width = max(len(class_names[label]) for label in shown)
    title = f"the {LISTED} least accurate of {len(class_names)} classes\n" if many else ""
    lines = [f"{title}{'class':{width}}  number  accuracy"]
    for label in shown:
        part = "-" if np.isnan(accuracy[label]) else f"{accuracy[label]:.3f}"
        lines.append(f"{class_names[label]:{width}}  {scores.counts[label]:6}  {part:>8}")
    return "\n".join(lines)


def summary(scores: Scores) -> str:
    """Mean scores in a line."""
    names = {"top1": "top-1", "top5": "top-5", "class_accuracy": "mean class accuracy", "real": "ReaL"}
    return "  ".join(f"{names[name]} {figure:.3f}" for name, figure in scores.figures().items())
