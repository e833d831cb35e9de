"""Training, validation and prediction of an image classifier with Lightning."""

import logging
import math
from pathlib import Path
from typing import cast

import cv2
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Shaped, UInt8
from torch import Tensor, nn
from torch.optim import Optimizer

from ..classifier import ImageClassifier
from ..imaging.normalize import normalize
from ..imaging.reading import UnreadableImageError, read_image
from ..training.callbacks.throughput import Throughput
from ..training.checks import averages_of
from ..training.distributed import gather, mean_over_processes
from ..training.schedules import OptimizerConfig
from ..training.skipped import check_scored, skipped_lines
from ..training.task import Task
from ..training.temporary_window import temporary_window
from .data.image_data import Batch
from .data.imagenet_data import ImageNetData
from .head_transfer import load_head
from .predictions import Predictions, best_predictions, draw_predictions, format_predictions, write_predictions
from .report import write_report
from .scores import TOP, ClassificationScores, Scores, format_table, summary

logger = logging.getLogger(__name__)

FIGURES = ("top1", "top5", "class_accuracy")

TrainBatch = tuple[UInt8[Tensor, "b 3 h w"], Int64[Tensor, " b"]]


class ClassificationTask(Task):
    """Trains an image classifier with AdamW, and scores it by top-1, top-5, mean class and ReaL accuracy.

    For an exponential moving average of the weights, add Lightning's callback EMAWeightAveraging to a recipe: the
    averaged weights are then validated and saved, from the first step on. The average is on the device of the model
    unless the callback is given another, e.g. `device: cpu`. A checkpoint carries the names of its classes.

    Args:
        model: the classifier.
        optimizer: learning rate, decay, schedule.
        weights: checkpoint of any known layout to start from.
        head_rows: for `weights` with other classes: file with the row of their head for each class of the data, one
            per line and from 0, as the authors' map22kto1k.txt; or "names" to match classes by their names, which
            checkpoints of this package hold.
        label_smoothing: share of the target that is spread over all classes, from 0 to below 1.
        test_window_size: window in validation and prediction, in tokens, if not that of the training; one number, one
            per axis, or one entry per stage.
        pictures: whether prediction draws the images with the names of their classes.
        output: folder for results of validation and prediction; if None, the run's folder.

    Raises:
        ValueError: a setting out of range, or `head_rows` without `weights`.
    """

    model: ImageClassifier

    def __init__(
        self,
        model: ImageClassifier,
        optimizer: OptimizerConfig = OptimizerConfig(),
        weights: str | None = None,
        head_rows: str | None = None,
        label_smoothing: float = 0.0,
        test_window_size: int | list[int] | list[list[int]] | None = None,
        pictures: bool = True,
        output: Path | None = None,
    ):
        super().__init__(model, optimizer, weights, output)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be from 0 to below 1, got {label_smoothing}.")
        if head_rows is not None and weights is None:
            raise ValueError(f"head_rows {head_rows} are those of weights, but there are none; give model.weights.")
        self.weights = weights
        self.head_rows = head_rows
        self.label_smoothing = label_smoothing
        self.test_window_size = test_window_size
        self.pictures = pictures
        self.scores = ClassificationScores(model.num_classes)
        self.scored: Scores | None = None
        self.throughput = Throughput()
        self.found: dict[str, Predictions] = {}
        with temporary_window(model.backbone, test_window_size):
            pass  # raises here if the numbers do not fit

    def setup(self, stage: str) -> None:
        """Take the classes from the data, and fill the head by `head_rows`.

        Raises:
            ValueError: the numbers of classes differ, the rows do not fit, or averaging starts after the first step.
        """
        if stage == "predict":
            return  # a checkpoint brings the classes
        self.take_classes()
        averages = averages_of(self.trainer) if stage == "fit" else []
        if stage == "fit" and self.head_rows is not None and self.weights is not None:
            load_head(cast(nn.Linear, self.model.head), self.weights, self.head_rows, self.class_names)
            for average in averages:  # it has copied the model already
                average.setup(self.trainer, self, stage)

    def validation_metrics(self) -> list[str]:
        """Names of the metrics of a validation."""
        return [*FIGURES, *(["real"] if self.data.real_labels is not None else [])]

    @property
    def data(self) -> ImageNetData:
        """The data that the trainer runs on."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def forward(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b k"]:
        """Logits of images, in float32, with `test_window_size`."""
        with temporary_window(self.model.backbone, self.test_window_size):
            return self.model(self.normalized(images)).float()

    def normalized(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Images normalized for the model."""
        return normalize(images, next(self.model.parameters()).dtype)

    def on_train_epoch_start(self) -> None:
        """Restart the clock, so that time between epochs is not counted."""
        self.throughput.restart()

    def training_step(self, batch: TrainBatch, batch_idx: int) -> Tensor:
        """Cross-entropy of a batch, with the erasing and mixing of the data."""
        images, targets = self.augmented(*batch)
        logits = self.model(images).float()
        loss = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        self._log_progress(logits.detach(), targets if targets.ndim == 1 else targets.argmax(1))
        return self.log_losses({"loss_classification": loss}, len(images))

    def augmented(
        self, images: UInt8[Tensor, "b 3 h w"], labels: Int64[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b 3 h w"], Shaped[Tensor, "b *k"]]:
        """Batch for training: normalised, erased and mixed, in the order of the official training.

        Returns:
            The images, and their labels or the share of each class in them.
        """
        pixels = self.normalized(images)
        if self.data.erasing is not None:
            pixels = self.data.erasing(pixels)
        return (pixels, labels) if self.data.mixing is None else self.data.mixing(pixels, labels)

    def _log_progress(self, logits: Float[Tensor, "b k"], labels: Int64[Tensor, " b"]) -> None:
        """Log the accuracy of a batch, by the class with the largest share in mixed images, and count its images."""
        predictions = logits.topk(min(TOP, logits.shape[1]), dim=1).indices
        hits = predictions == labels[:, None]
        figures = {"train/top1": hits[:, 0].float().mean(), "train/top5": hits.any(1).float().mean()}
        self.log_dict(mean_over_processes(figures), batch_size=len(labels))
        self.throughput.items += len(labels) * self.trainer.world_size

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Log images a second, once per optimizer step."""
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and (self.global_step + 1) % every == 0:
            self.log("images_per_second", self.throughput.read())

    def on_validation_epoch_start(self) -> None:
        """Restart the clock, so that only the validation is counted."""
        self.throughput.restart()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count correct predictions of a batch."""
        images, targets = batch
        if targets:
            labels = torch.tensor([target["label"] for target in targets], device=self.device)
            self.scores.update(self(images), labels, [target["labels"] for target in targets])
            self.throughput.items += len(targets) * self.trainer.world_size

    def on_validation_epoch_end(self) -> None:
        """Compute and log the scores.

        Raises:
            ValueError: there was nothing to score, outside of a training.
        """
        if self.trainer.sanity_checking:
            self.scores.reset()
            return
        number, rate = sum(gather(int(self.scores.counts.sum()))), self.throughput.read()
        self.scored = self.scores.compute() if check_scored(self, number, "image that can be read") else None
        self.scores.reset()
        figures = dict.fromkeys(FIGURES, math.nan) if self.scored is None else self.scored.figures()
        self.log_scores(figures, ["top1"])
        if self.trainer.state.fn == "validate" and self.scored is not None:
            self._report(self.scored, rate)

    def _report(self, scored: Scores, rate: float) -> None:
        """Print the scores of a validation, and write the report.

        Args:
            scored: scores of the validation.
            rate: images a second.
        """
        skipped = skipped_lines(images=self.data.val_set)
        if self.trainer.is_global_zero:
            report = ", ".join(map(str, write_report(self.folder, scored, self.class_names)))
            print(f"\n{format_table(scored, self.class_names)}\n\n{summary(scored)}  ({rate:.0f} images/s)")
            print(f"\n{skipped}report: {report}")

    def on_validation_end(self) -> None:
        """Restart the clock of the training."""
        self.throughput.restart()

    def summary(self) -> str:
        """Accuracies of the last validation, in a line."""
        return "" if self.scored is None else summary(self.scored)

    def on_predict_start(self) -> None:
        """Take the class names from the data if there is no checkpoint.

        Raises:
            FileNotFoundError: the file of class names does not exist.
        """
        super().on_predict_start()
        self.found = {}
        self.class_names = self.class_names or self._known_names()

    def _known_names(self) -> list[str]:
        """Class names by a file or the training data, if their number is the model's; otherwise numbered classes."""
        numbers = self.numbered_classes()
        try:
            names = self.data.class_names
        except FileNotFoundError:
            if self.data.classes is not None:
                raise
            return numbers
        if len(names) != len(numbers):
            text = "The data have %d classes, the model %d, which go by their numbers; name them by data.classes."
            logger.warning(text, len(names), len(numbers))
        return names if len(names) == len(numbers) else numbers

    def predict_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the most probable classes of a batch of images, and draw them; skip outputs that are not finite."""
        images, targets = batch
        if not targets:
            return
        logits = self(images)
        found = best_predictions(logits.softmax(1), self.class_names)
        for target, predictions, is_finite in zip(targets, found, logits.isfinite().all(1).tolist(), strict=True):
            if not is_finite:
                self.skip(target)
                continue
            self.predicted += 1
            self.found[str(target["path"])] = predictions
            if self.pictures:
                self._draw(target["path"], target["name"], predictions)

    def _draw(self, path: Path, name: str, predictions: Predictions) -> None:
        """Write an image with its predictions; a failure is only logged.

        Args:
            path: of the image.
            name: of its results.
            predictions: most probable classes of the image.
        """
        try:
            picture = draw_predictions(read_image(path), predictions)
        except (UnreadableImageError, ValueError, cv2.error) as error:
            logger.warning("There is no picture of %s: %s", path, error)
            return
        self.write(f"pictures/{name}.jpg", picture)

    def on_predict_end(self) -> None:
        """Print the most probable classes, and write the results of all processes as a table.

        Raises:
            ValueError: no image could be read, or no output was finite.
        """
        skipped = self.check_predicted()
        found = {path: predictions for part in gather(self.found) for path, predictions in part.items()}
        if self.trainer.is_global_zero:
            path, found = self.path("predictions.csv"), dict(sorted(found.items()))
            write_predictions(path, found)
            print(f"\n{format_predictions(found)}\n\n{skipped}{len(found)} images: {path}")
            if self.pictures:
                print(f"pictures: {self.folder / 'pictures'}")
