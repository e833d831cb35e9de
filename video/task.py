"""Training, scoring and using a video classifier, as Lightning runs it."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from swinv2.classification.report import write_report
from swinv2.classification.scores import ClassificationScores, Scores, format_table, summary
from swinv2.training.agreement import check_class_count
from swinv2.training.schedules import OptimizerConfig
from swinv2.training.task import Task
from video.annotation import annotate
from video.by_second import per_second, write_table
from video.by_second import summary as by_second_summary
from video.classifier import VideoClassifier
from video.clips import Views
from video.data import Batch, KineticsData, TrainBatch
from video.decoding import UnreadableVideoError, open_footage
from video.finished import Finished
from video.over_time import score_over_time

logger = logging.getLogger(__name__)


class VideoTask(Task):
    """Trains a video classifier with AdamW, and scores it by top-1, top-5 and mean class accuracy.

    A test that looks at every video in many views can be killed at any time: the next `validate` with the same
    checkpoint and views goes on after the videos that are finished. A checkpoint carries the names of its classes.

    Args:
        model: the classifier.
        optimizer: learning rate, decay, schedule; `backbone_lr_scale` is that of the backbone beside the head.
        weights: checkpoint of any known layout to start from: of clips, or of images, which are inflated.
        label_smoothing: share of the target that goes to all classes alike, 0 to 1.
        views_at_once: how many views the model is given at a time in validation, which bounds the memory.
        output: folder for what validation and prediction write; if None, the run's folder.

    Raises:
        ValueError: a setting out of range.
    """

    model: VideoClassifier

    def __init__(
        self,
        model: VideoClassifier,
        optimizer: OptimizerConfig = OptimizerConfig(),
        weights: str | None = None,
        label_smoothing: float = 0.0,
        views_at_once: int = 8,
        output: Path | None = None,
    ):
        super().__init__(model, optimizer, weights, output)
        if not 0 <= label_smoothing < 1 or views_at_once < 1:
            raise ValueError(
                f"label_smoothing must be from 0 to below 1 and views_at_once 1 or more, got {label_smoothing} and "
                f"{views_at_once}."
            )
        self.label_smoothing = label_smoothing
        self.views_at_once = views_at_once
        self.scores = ClassificationScores(model.num_classes)
        self.scored: Scores | None = None
        self.finished: Finished | None = None
        self.predicted = 0

    def setup(self, stage: str) -> None:
        """Compare the data with what the model asks for, before anything is computed.

        Raises:
            ValueError: the numbers of classes differ.
        """
        if stage != "predict":
            check_class_count(self.model.num_classes, self.data.class_names)
            self.class_names = self.data.class_names
        if stage == "validate":
            self.finished = Finished(self.folder / "finished", self._test(), self.global_rank)
            self.data.skip(self.finished.probabilities)  # now, before processes that load data start

    @property
    def data(self) -> KineticsData:
        """The data that the trainer runs on."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def forward(self, videos: Sequence[Views]) -> Float[Tensor, "n k"]:
        """Probabilities of each video's classes, the mean over its views; views of several videos run together."""
        total = torch.zeros(len(videos), self.model.num_classes, device=self.device)
        places = ((at, view) for at, views in enumerate(videos) for view in views)
        for chunk in chunks(places, self.views_at_once):
            clips = torch.stack([view for _, view in chunk])
            total.index_add_(0, torch.tensor([at for at, _ in chunk], device=self.device), self.probabilities(clips))
        return total / torch.tensor([[len(views)] for views in videos], device=self.device)

    def training_step(self, batch: TrainBatch, batch_idx: int) -> Tensor:
        """Cross-entropy of a batch."""
        clips, labels = batch
        if self.data.mixing is not None:
            clips, labels = self.data.mixing(clips, labels)
        loss = F.cross_entropy(self.model(clips), labels, label_smoothing=self.label_smoothing)
        return self.log_losses({"loss_classification": loss}, len(clips))

    def _test(self) -> dict[str, Any]:
        """What makes two tests the same."""
        data, checkpoint = self.data, Path(str(self.trainer.ckpt_path))
        return {
            "checkpoint": [str(checkpoint), checkpoint.stat().st_mtime_ns if checkpoint.is_file() else 0],
            "views": [str(data.sampling), data.val_clips, str(data.crops), data.backend],
            "windows": [list(window) for window in self.model.backbone.window_size],
        }

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count which videos of a batch are right."""
        videos, targets = batch
        known = self.finished.probabilities if self.finished else {}
        found = iter(self([views for views in videos if views is not None]))
        for views, target in zip(videos, targets, strict=True):
            row = torch.tensor(known[target["name"]], device=self.device) if views is None else next(found)
            self.scores.update(row[None], torch.tensor([target["label"]], device=self.device))
            if self.finished is not None and views is not None:
                self.finished.add(target["name"], row.tolist())

    def on_validation_epoch_end(self) -> None:
        """Score what was counted."""
        if self.trainer.sanity_checking:
            self.scores.reset()
            return
        self.scored = self.scores.compute()
        self.scores.reset()
        figures = self.scored.figures()
        self.log_dict({"top1": figures.pop("top1")}, prog_bar=True)
        self.log_dict(figures)
        if self.trainer.state.fn == "validate" and self.trainer.is_global_zero:
            print(f"\n{format_table(self.scored, self.class_names)}\n\n{summary(self.scored)}\n")
            print(f"report: {', '.join(map(str, write_report(self.folder, self.scored, self.class_names)))}")

    def on_fit_end(self) -> None:
        """Say how good the classifier is."""
        if self.trainer.is_global_zero and self.scored is not None:
            print(f"\n{summary(self.scored)}")

    def on_predict_start(self) -> None:
        """Without a checkpoint classes have no names but their numbers."""
        self.predicted = 0
        self.class_names = self.class_names or [f"class {label}" for label in range(self.model.num_classes)]

    def predict_step(self, batch: list[dict[str, Any]], batch_idx: int) -> None:
        """Write the scores of a video by the second, and the video with them drawn over it."""
        for target in batch:
            try:
                self._predict(target)
            except UnreadableVideoError as error:  # only this: a file that cannot be written is another matter
                logger.warning("Left out: %s", error)
                continue
            self.predicted += 1

    def _predict(self, target: dict[str, Any]) -> None:
        with open_footage(target["path"], self.data.backend) as footage:
            scores = score_over_time(
                self.probabilities, footage, self.data.sampling, self.data.crops, batch=self.views_at_once
            )
            seconds = per_second(scores)
            write_table(self.path(f"scores/{target['name']}.csv"), seconds, self.class_names)
            annotate(footage, seconds, self.class_names, self.path(f"videos/{target['name']}.mp4"))
        print(f"{target['name']}: {by_second_summary(seconds, self.class_names)}")

    def probabilities(self, clips: UInt8[Tensor, "b 3 t h w"]) -> Float[Tensor, "b k"]:
        """Probabilities of each clip's classes."""
        return self.model(clips.to(self.device)).softmax(1)

    def on_predict_end(self) -> None:
        """Say where the results are.

        Raises:
            ValueError: no video could be read.
        """
        if not self.predicted and self.trainer.world_size == 1:
            raise ValueError("None of the videos could be read, so there are no results; see the messages above.")
        if self.trainer.is_global_zero:
            print(f"\nscores by second: {self.folder / 'scores'}\nvideos: {self.folder / 'videos'}")


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Items in lists of a size, the last one shorter."""
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk
