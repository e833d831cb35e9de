"""How well images or videos are classified: top-1, top-5 and mean class accuracy."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchmetrics import Metric

TOP = 5  # best guesses among which the true class may be


class Scores(NamedTuple):
    """What was scored, and how well.

    Attributes:
        confusion: how many of each true class (row) are taken for each class (column).
        in_top: how many have the true class among the five best guesses.
    """

    confusion: Int64[np.ndarray, "k k"]
    in_top: int

    @property
    def number(self) -> int:
        """How many were scored."""
        return int(self.confusion.sum())

    @property
    def top1(self) -> float:
        """Share whose best guess is the true class."""
        return float(self.confusion.trace() / self.confusion.sum())

    @property
    def top5(self) -> float:
        """Share with the true class among the five best guesses."""
        return float(self.in_top / self.confusion.sum())

    @property
    def accuracy(self) -> Float[np.ndarray, " k"]:
        """Share of each class that is found; not a number for one that does not occur."""
        counts = self.confusion.sum(axis=1)
        return np.where(counts > 0, self.confusion.diagonal() / np.maximum(counts, 1), np.nan)

    @property
    def class_accuracy(self) -> float:
        """Mean over the classes that occur."""
        return float(np.nanmean(self.accuracy))

    def figures(self) -> dict[str, float]:
        """What is logged."""
        return {"top1": self.top1, "top5": self.top5, "class_accuracy": self.class_accuracy}


class ClassificationScores(Metric):
    """Scores of a whole data set; under several processes each counts its part and `compute` takes the sum.

    Args:
        num_classes: K; labels are 0 to K - 1.
    """

    full_state_update = False
    confusion: Tensor
    in_top: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("confusion", torch.zeros(num_classes, num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("in_top", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, scores: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]) -> None:
        """Count some.

        Args:
            scores: logits or probabilities.
            labels: true classes.
        """
        guesses = scores.topk(min(TOP, self.num_classes), dim=1).indices  # (n, 5), the best first
        self.in_top += (guesses == labels[:, None]).sum()
        cells = labels * self.num_classes + guesses[:, 0]
        self.confusion += torch.bincount(cells, minlength=self.num_classes**2).view_as(self.confusion)

    def compute(self) -> Scores:
        """Scores of all so far.

        Raises:
            ValueError: there were none.
        """
        if not self.confusion.any():
            raise ValueError("there is nothing to score: none of the validation data could be read")
        return Scores(self.confusion.cpu().numpy(), int(self.in_top))


def format_table(scores: Scores, class_names: Sequence[str]) -> str:
    """Accuracy by class as aligned text, with the number of each; a dash where a class does not occur."""
    width = max(map(len, class_names))
    rows = zip(class_names, scores.confusion.sum(axis=1), scores.accuracy, strict=True)
    lines = [f"{name:{width}}  {count:6}  {'-' if np.isnan(part) else f'{part:.3f}':>8}" for name, count, part in rows]
    return "\n".join([f"{'class':{width}}  number  accuracy", *lines])
