"""Lightning module that trains, scores and applies a video classifier."""

import math
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from swinv2.classification.report import write_report
from swinv2.classification.scores import ClassificationScores, Scores, format_table, summary
from swinv2.imaging.datasets import Skipped
from swinv2.training.distributed import LongBarrier
from swinv2.training.finite import NotFiniteError, finite_outputs
from swinv2.training.runs.run_folder import set_aside
from swinv2.training.schedules import OptimizerConfig
from swinv2.training.skipped import check_scored
from swinv2.training.task import Task
from video.classifier import VideoClassifier
from video.data.clips import ViewedVideos, Views
from video.data.files import in_words
from video.data.kinetics_data import Batch, KineticsData, TrainBatch
from video.inference.annotation import annotate
from video.inference.per_second import per_second, write_table
from video.inference.per_second import summary as by_second_summary
from video.inference.resume import Finished, fingerprint
from video.inference.sliding_clips import score_over_time
from video.readers.opening import UnreadableVideoError, open_video

METRICS = ("top1", "top5", "class_accuracy")


class VideoTask(Task):
    """Train a video classifier with AdamW, and score it by top-1, top-5 and mean class accuracy.

    A test with many views per video can be killed at any time: the same command resumes after the finished videos, if
    weights, views and list are the same. A checkpoint contains the names of its classes.

    Args:
        model: the classifier.
        optimizer: learning rate, decay, schedule; `backbone_lr_scale` is the backbone's rate relative to the head's.
        weights: checkpoint to start from, in any known layout: of clips, or of images, which are inflated.
        label_smoothing: share of the target that is spread evenly over all classes, 0 to 1.
        views_at_once: number of views per forward pass in validation and prediction, which bounds memory.
        output: folder for the results of validation and prediction; if None, the run's folder.

    Raises:
        ValueError: a setting out of range.
    """

    model: VideoClassifier
    items = "videos"
    barrier: LongBarrier

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
        self.skipped = Skipped(0)

    def setup(self, stage: str) -> None:
        """Check that data and model have the same number of classes, before anything is computed.

        Raises:
            ValueError: the numbers of classes differ.
        """
        self.barrier = LongBarrier()
        if stage == "predict":
            return  # a checkpoint contains the classes
        self.take_classes()
        self.scores = ClassificationScores(self.model.num_classes)  # not those of an earlier stage, made in its mode
        self.finished = None
        self.data.finished = self._take_up if stage == "validate" else tuple

    @property
    def data(self) -> KineticsData:
        """The data that the trainer runs on."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    @property
    def _val_set(self) -> ViewedVideos:
        """The validation videos."""
        assert self.data.val_set is not None
        return self.data.val_set

    def forward(self, videos: Sequence[Views]) -> Float[Tensor, "n k"]:
        """Class probabilities of each video, averaged over its views; views of several videos share forward passes."""
        views = (view for views in videos for view in views)
        found = torch.cat([self.probabilities(torch.stack(chunk)) for chunk in chunks(views, self.views_at_once)])
        return torch.stack([part.mean(0) for part in found.split([len(views) for views in videos])])

    def training_step(self, batch: TrainBatch, batch_idx: int) -> Tensor:
        """Cross-entropy of a batch."""
        clips, labels = batch
        if self.data.mixing is not None:
            clips, labels = self.data.mixing(clips, labels)
        loss = F.cross_entropy(self.model(clips), labels, label_smoothing=self.label_smoothing)
        return self.log_losses({"loss_classification": loss}, len(clips))

    def _take_up(self) -> Container[str]:
        """Find the paths of videos that a killed test of the same weights, views and list has finished."""
        data, strategy = self.data, self.trainer.strategy
        weights = fingerprint(strategy.lightning_module_state_dict())  # only the first process may have all of them
        test = {
            "weights": strategy.broadcast(weights),
            "windows": self.model.backbone.window_size,
            "views": [str(data.clip_sampling), data.val_clips, str(data.crops), data.backend],
            "precision": self.trainer.precision,
            "videos": [(str(item.path), item.label) for item in self._val_set.items],
        }
        folder = self.output or Path(self.trainer.default_root_dir, "validate")  # the same at each start
        self.finished = Finished(folder, test, self.global_rank)
        known = frozenset(self.finished.probabilities)
        if known and self.trainer.is_global_zero:
            print(f"Going on with a test that was stopped: {len(known)} videos are finished.")
        return known

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch of videos to the scores.

        Raises:
            ValueError: in `validate`, the output of the model is not finite.
        """
        rows = self._scored_before(batch) | self._score(batch)
        found = torch.zeros(len(batch[1]), self.model.num_classes, device=self.device)  # empty if none can be read
        for row, target in zip(found, batch[1], strict=True):
            row.copy_(rows[str(target["path"])])
        self.scores.update(found, torch.tensor([target["label"] for target in batch[1]], device=self.device).long())

    def _scored_before(self, batch: Batch) -> dict[str, Float[Tensor, " k"]]:
        known = self.finished.probabilities if self.finished is not None else {}
        paths = (str(target["path"]) for views, target in zip(*batch, strict=True) if views is None)
        return {path: known[path].to(self.device) for path in paths}

    def _score(self, batch: Batch) -> dict[str, Float[Tensor, " k"]]:
        new = {str(target["path"]): views for views, target in zip(*batch, strict=True) if views is not None}
        tested = self.trainer.state.fn == "validate"  # training checks its health by itself
        with finite_outputs(self.model, Path(next(iter(new), ""))) if tested else nullcontext():
            found = dict(zip(new, self([*new.values()]), strict=True)) if new else {}
        if self.finished is not None and found:
            self.finished.add(found)
        return found

    def validation_metrics(self) -> Sequence[str]:
        """Names of the metrics that a validation logs."""
        return METRICS

    def on_validation_epoch_end(self) -> None:
        """Compute and log the scores of all videos.

        Raises:
            ValueError: no video could be read, in `validate`; in training this is logged, and the epoch is saved.
        """
        if self.trainer.sanity_checking:
            self.scores.reset()
            return
        self.barrier.wait()
        number = int(self.trainer.strategy.reduce(self.scores.counts.sum(), reduce_op="sum"))
        if not check_scored(self, number, "video that can be read"):
            self.log_dict(dict.fromkeys(METRICS, math.nan))
            return
        self.scored = self.scores.compute()
        self.scores.reset()
        figures = self.scored.figures()
        self.log_scores(figures, ["top1"])
        if self.trainer.state.fn == "validate":
            count = torch.tensor(len(self._val_set.skipped), device=self.device)
            unreadable = int(self.trainer.strategy.reduce(count, reduce_op="sum"))
            if self.trainer.is_global_zero:
                self._report(self.scored, unreadable)

    def _report(self, scores: Scores, unreadable: int) -> None:
        """Print and write the scores of a test, and remove the files for resuming if it is complete."""
        print(f"\n{format_table(scores, self.class_names)}\n\n{summary(scores)}\n")
        skipped, listed = unreadable + self.data.missing, len(self._val_set) + self.data.missing
        if skipped:
            print(f"{skipped} of {listed} videos are left out: {self.data.missing} missing, {unreadable} unreadable")
        print(f"report: {', '.join(map(str, write_report(self.folder, scores, self.class_names, skipped)))}")
        if self.finished is not None and scores.number + unreadable == len(self._val_set):
            self.finished.forget()

    def summary(self) -> str:
        """Accuracies of the last validation."""
        return "" if self.scored is None else summary(self.scored)

    def on_predict_start(self) -> None:
        """Set the results of an earlier prediction aside; without a checkpoint, classes are named by number.

        Raises:
            ValueError: a video to predict lies in a folder for results.
        """
        super().on_predict_start()
        paths = self.data.predict_set.paths if self.data.predict_set else ()
        self.skipped = Skipped(len(paths), "a video")
        places = [(self.folder / name).resolve() for name in ("scores", "videos")]
        for path in paths:
            if not {*places}.isdisjoint(path.resolve().parents):
                raise ValueError(f"The results would take the place of {path}; give --model.output another folder.")
        if self.trainer.is_global_zero:
            print(f"{in_words(paths)} to predict")
            for place in places:
                set_aside(place)
        self.trainer.strategy.barrier()
        self.class_names = self.class_names or self.numbered_classes()

    def predict_step(self, batch: list[dict[str, Any]], batch_idx: int) -> None:
        """Write the scores of a video per second, and the video with the scores drawn over it."""
        for target in batch:
            try:
                with finite_outputs(self.model, target["path"]):
                    self._predict(target)
            except (UnreadableVideoError, NotFiniteError) as error:  # errors of writing are not caught
                self.spoilt += isinstance(error, NotFiniteError)
                self.skipped.add(target["video_id"] - 1, error)

    def _predict(self, target: dict[str, Any]) -> None:
        with open_video(target["path"], self.data.backend) as reader:
            scores = score_over_time(
                self.probabilities, reader, self.data.sampling, self.data.crops, batch=self.views_at_once
            )
            seconds = per_second(scores)
            annotate(reader, seconds, self.class_names, self.path(f"videos/{target['name']}.mp4"))
        write_table(self.path(f"scores/{target['name']}.csv"), seconds, self.class_names)  # all frames could be read
        print(f"{target['name']}: {by_second_summary(seconds, self.class_names)}")

    def probabilities(self, clips: UInt8[Tensor, "b 3 t h w"]) -> Float[Tensor, "b k"]:
        """Class probabilities of each clip."""
        return self.model(clips.to(self.device)).softmax(1)

    def on_predict_end(self) -> None:
        """Print the folders of the results, and how many videos were skipped.

        Raises:
            ValueError: no video could be read, or no output was finite.
        """
        self.barrier.wait()
        total = len(self.data.predict_set or ())
        flags = torch.tensor([index in self.skipped for index in range(total)], device=self.device).int()
        skipped = int(self.trainer.strategy.reduce(flags, reduce_op="max").sum())  # processes may share videos
        if skipped == total:
            reason = "none of them could be read; see the messages above"
            if int(self.trainer.strategy.reduce(torch.tensor(self.spoilt, device=self.device), reduce_op="sum")):
                reason = "the output of the model is not finite: its training has diverged. Take an earlier checkpoint"
            raise ValueError(f"There are no results of {total} videos: {reason}.")
        if self.trainer.is_global_zero:
            if skipped:
                print(f"\n{skipped} of {total} videos could not be read")
            print(f"\nscores by second: {self.folder / 'scores'}\nvideos: {self.folder / 'videos'}")


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Split items into lists of equal size, of which the last may be shorter."""
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk
