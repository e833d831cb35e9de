"""Training, scoring and using a segmenter, as Lightning runs it."""

import logging
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
from jaxtyping import Int16, UInt8
from torch import Tensor

from segmentation.data.ade20k_data import Ade20kData
from segmentation.data.class_list import ClassList
from segmentation.evaluation.report import write_report
from segmentation.evaluation.scores import OF_NOTHING, Absent, Scores, SegmentationScores, format_table
from segmentation.inference.drawing import compare, overlay
from segmentation.inference.predictor import segment
from segmentation.inference.sliding import Sliding
from segmentation.inference.test_time_augmentation import Views
from segmentation.segmenters.segmenter import Segmenter
from swinv2.imaging.label_maps import write_map
from swinv2.imaging.resize import scaled
from swinv2.training.distributed import gather
from swinv2.training.finite import NotFiniteError, finite_outputs
from swinv2.training.runs.run_folder import set_aside
from swinv2.training.schedules import OptimizerConfig
from swinv2.training.skipped import check_scored, skipped_lines
from swinv2.training.task import Task
from swinv2.training.temporary_window import temporary_window

logger = logging.getLogger(__name__)

Images = tuple[list[Tensor], list[dict[str, Any]]]  # of validation and prediction, each in its own size


class SegmentationTask(Task):
    """Trains a segmenter with AdamW, scores it by mean IoU, and draws and writes what it sees.

    Pictures of validation images, truth beside prediction, go to the run's folder and to TensorBoard. Validation and
    prediction write maps, too: PNGs with the values of the class list, as benchmark servers take them. A checkpoint
    carries the class list.

    Args:
        model: the segmenter.
        optimizer: learning rate, decay, schedule.
        weights: checkpoint of any known layout to start from: this segmenter's own, mmsegmentation's, transformers', or
            a backbone's.
        test_window_size: window in validation and prediction, in tokens, if not that of the training; one number, one
            per axis, or one entry per stage.
        sliding: in validation and prediction, the windows in which images are looked at; None for whole images.
        views: in validation and prediction, the sizes in which each image is looked at; None for one.
        absent_classes: what a class that does not occur is to mean IoU: "skip" leaves it out, as mmsegmentation does,
            "zero" counts it as 0, as the ADE20K benchmark's own script does.
        pictures: number of validation images to draw; 0 also leaves out the pictures of predictions.
        maps: whether validation and prediction write the class of each pixel.
        output: folder for the pictures and maps of validation and prediction; if None, the run's folder.
    """

    model: Segmenter

    def __init__(
        self,
        model: Segmenter,
        optimizer: OptimizerConfig = OptimizerConfig(),
        weights: str | None = None,
        test_window_size: int | list[int] | list[list[int]] | None = None,
        sliding: Sliding | None = None,
        views: Views | None = None,
        absent_classes: Absent = "skip",
        pictures: int = 8,
        maps: bool = True,
        output: Path | None = None,
    ):
        super().__init__(model, optimizer, weights, output)
        self.test_window_size = test_window_size
        self.sliding = sliding
        self.views = views
        self.pictures = pictures
        self.maps = maps
        self.class_list: ClassList | None = None
        self.scores = SegmentationScores(model.num_classes, absent_classes)
        self.scored: Scores | None = None
        self.drawn = 0
        with self.test_window():
            pass  # raises here if the numbers do not fit

    def setup(self, stage: str) -> None:
        """Compare the data with what the model asks for, before anything is computed.

        Raises:
            ValueError: the numbers of classes differ.
        """
        if stage == "predict":
            return  # a checkpoint brings the class list
        self.take_classes()
        self.class_list = self.data.class_list

    def validation_metrics(self) -> list[str]:
        """Names of what a validation logs."""
        return [*OF_NOTHING]

    @property
    def data(self) -> Ade20kData:
        """The data that the trainer runs on."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def forward(self, image: UInt8[Tensor, "3 h w"], size: tuple[int, int]) -> Int16[Tensor, "h w"]:
        """The class of each pixel of an image that is looked at in some height and width, a patch at least."""
        with self.test_window():
            return segment(self.model, image, scaled(*size, 1.0), self.sliding, self.views)

    def test_window(self) -> AbstractContextManager[None]:
        """The backbone has the window of the test, and then again the one that it had."""
        return temporary_window(self.model.backbone, self.test_window_size)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Sum of the losses of a batch."""
        return self.log_losses(self.model(*batch), len(batch[0]))

    def on_validation_start(self) -> None:
        """Put the maps of an earlier validation aside."""
        self.drawn = 0
        if self.trainer.state.fn == "validate":
            self._set_maps_aside()

    def validation_step(self, batch: Images, batch_idx: int) -> None:
        """Count what is right in a batch, and draw the first."""
        for image, target in zip(*batch, strict=True):
            labels = self(image, target["size"])
            self.scores.update(labels, target["labels"])
            if self.trainer.state.fn == "validate":
                self._write_map(target["name"], labels)
            if self.drawn < self.share(self.pictures) and not self.trainer.sanity_checking:
                self.show(target["name"], compare(image, target["labels"], labels, self.listed.names))
                self.drawn += 1

    def on_validation_epoch_end(self) -> None:
        """Score what was counted.

        Raises:
            ValueError: outside of a training, there was nothing to score.
        """
        if self.trainer.sanity_checking:
            self.scores.reset()
            return
        known = sum(gather(int(self.scores.confusion.sum())))
        self.scored = self.scores.compute() if check_scored(self, known, "pixel whose class is known") else None
        self.scores.reset()
        figures = OF_NOTHING if self.scored is None else self.scored.figures()
        self.log_scores(figures, ("mIoU", "pixel_accuracy"))
        if self.trainer.state.fn == "validate" and self.scored is not None:
            self._report(self.scored)

    def _report(self, scored: Scores) -> None:
        """Print the scores of a validation, and write the report."""
        skipped = skipped_lines(images_with_their_maps=self.data.val_set)
        if self.trainer.is_global_zero:
            names = self.listed.names
            report = ", ".join(map(str, write_report(self.folder, scored, names)))
            print(f"\n{format_table(scored, names)}\n\n{_summary(scored)}\n\n{skipped}report: {report}")
            if self.maps:
                print(f"maps: {self.folder / 'results'}")

    def summary(self) -> str:
        """The means of the last validation, and where its pictures are."""
        return "" if self.scored is None else f"{_summary(self.scored)}\npictures: {self.folder / 'pictures'}"

    def on_predict_start(self) -> None:
        """Put the maps of an earlier prediction aside; without a checkpoint classes are called by their numbers."""
        super().on_predict_start()
        self._set_maps_aside()
        self.class_list = self.class_list or ClassList.numbered(self.model.num_classes)

    def predict_step(self, batch: Images, batch_idx: int) -> None:
        """Write the maps and pictures of a batch of files; an image whose output is not finite is left out."""
        for image, target in zip(*batch, strict=True):
            try:
                with finite_outputs(self.model, target["path"]):
                    labels = self(image, target["size"])
            except NotFiniteError:
                self.skip(target)
                continue
            self._write_map(target["name"], labels)
            if self.pictures:
                self._draw(image, labels, target["name"])
            self.predicted += 1

    def _draw(self, image: UInt8[Tensor, "3 h w"], labels: Int16[Tensor, "h w"], name: str) -> None:
        """Write the picture of an image, which need not come about."""
        try:
            picture = overlay(image, labels, self.listed.names)
        except (ValueError, cv2.error) as error:
            logger.warning("There is no picture of %s: %s", name, error)
            return
        self.write(f"pictures/{name}.png", picture)

    def on_predict_end(self) -> None:
        """Say where the results are, and how many images have none.

        Raises:
            ValueError: no image could be read, or no output was finite.
        """
        skipped = self.check_predicted()
        if self.trainer.is_global_zero:
            places = {"maps": self.maps, "pictures": self.pictures}
            names = {"maps": "results", "pictures": "pictures"}
            lines = "\n".join(f"{what}: {self.folder / names[what]}" for what, there in places.items() if there)
            print(f"\n{skipped}{lines}")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The class list travels with the weights."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["class_list"] = asdict(self.listed)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the class list over.

        Raises:
            ValueError: the checkpoint has other classes than model or data, or it is of something else.
        """
        super().on_load_checkpoint(checkpoint)
        self.class_list = self.class_list or ClassList(**checkpoint["class_list"])  # of the data, if there are any

    @property
    def listed(self) -> ClassList:
        """The class list, once it is known.

        Raises:
            RuntimeError: before data or a checkpoint have said it.
        """
        if self.class_list is None:
            raise RuntimeError("SegmentationTask knows no classes yet; run it by a trainer.")
        return self.class_list

    def _set_maps_aside(self) -> None:
        if self.trainer.is_global_zero and self.maps:
            set_aside(self.folder / "results")
        self.trainer.strategy.barrier()

    def _write_map(self, name: str, labels: Int16[Tensor, "h w"]) -> None:
        if self.maps:
            write_map(self.path(f"results/{name}.png"), self.listed.to_values(labels.numpy()))


def _summary(scores: Scores) -> str:
    """The means, and what absent classes are to them."""
    figures = scores.figures()
    other = "zero" if scores.absent == "skip" else "skip"
    rule = {"skip": "over the classes that occur", "zero": "over all classes, absent ones count 0"}
    return (
        f"mIoU {figures['mIoU']:.3f} ({rule[scores.absent]}; {figures[f'mIoU_{other}']:.3f} {rule[other]})\n"
        f"pixel accuracy {figures['pixel_accuracy']:.3f}  class accuracy {figures['class_accuracy']:.3f}"
    )
