"""Lightning module that trains, scores and applies a segmenter."""

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
from swinv2.training.heads import prepare_heads
from swinv2.training.runs.run_folder import set_aside
from swinv2.training.schedules import OptimizerConfig
from swinv2.training.skipped import check_scored, skipped_lines
from swinv2.training.task import Task
from swinv2.training.temporary_window import temporary_window

logger = logging.getLogger(__name__)

Images = tuple[list[Tensor], list[dict[str, Any]]]  # of validation and prediction, each in its own size


class SegmentationTask(Task):
    """Train a segmenter with AdamW, score it by mean IoU, and draw and write its label maps.

    Pictures of validation images, truth beside prediction, go to the run's folder and to TensorBoard. Validation and
    prediction also write label maps: PNGs with the values of the class list, as benchmark servers take them. A
    checkpoint contains the class list.

    Args:
        model: the segmenter.
        optimizer: learning rate, decay, schedule.
        weights: checkpoint to start from, of this segmenter, of mmsegmentation or transformers, or of a backbone in any
            known layout.
        test_window_size: attention window in validation and prediction, in tokens; one number, one per axis, or one
            entry per stage; None for that of training.
        sliding: sliding windows over images in validation and prediction; None for whole images.
        views: sizes and flips of each image in validation and prediction; None: as it is.
        absent_classes: mean IoU with a class that does not occur: "skip" leaves it out, as in mmsegmentation, "zero"
            counts it as 0, as in the ADE20K benchmark's own script.
        pictures: number of validation images to draw; 0 also leaves out the pictures of predictions.
        maps: whether validation and prediction write label maps.
        compile_heads: whether `torch.compile` compiles the heads, for images of any size, which takes minutes at first.
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
        compile_heads: bool = False,
        output: Path | None = None,
    ):
        super().__init__(model, optimizer, weights, output)
        self.test_window_size = test_window_size
        self.sliding = sliding
        self.views = views
        self.pictures = pictures
        self.maps = maps
        self.compile_heads = compile_heads
        self.class_list: ClassList | None = None
        self.scores = SegmentationScores(model.num_classes, absent_classes)
        self.scored: Scores | None = None
        self.drawn = 0
        with self.test_window():
            pass  # raises if the test window does not fit the backbone

    def setup(self, stage: str) -> None:
        """Check that data and model have the same number of classes, before anything is computed.

        Raises:
            ValueError: the numbers of classes differ.
        """
        prepare_heads(self.model, self.trainer.strategy.root_device, self.compile_heads)
        if stage == "predict":
            return  # a checkpoint contains the class list
        self.take_classes()
        self.class_list = self.data.class_list

    def validation_metrics(self) -> list[str]:
        """Names of the metrics that a validation logs."""
        return [*OF_NOTHING]

    @property
    def data(self) -> Ade20kData:
        """The data that the trainer runs on."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def forward(self, image: UInt8[Tensor, "3 h w"], size: tuple[int, int]) -> Int16[Tensor, "h w"]:
        """Class of each pixel of an image, which is resized to `size` (at least a patch) for the model."""
        with self.test_window():
            return segment(self.model, image, scaled(*size, 1.0), self.sliding, self.views)

    def test_window(self) -> AbstractContextManager[None]:
        """Context in which the backbone has the window of validation and prediction."""
        return temporary_window(self.model.backbone, self.test_window_size)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Sum of the losses of a batch."""
        return self.log_losses(self.model(*batch), len(batch[0]))

    def on_validation_start(self) -> None:
        """Set the label maps of an earlier validation aside."""
        self.drawn = 0
        if self.trainer.state.fn == "validate":
            self._set_maps_aside()

    def validation_step(self, batch: Images, batch_idx: int) -> None:
        """Add a batch to the confusion matrix, and draw the first images."""
        for image, target in zip(*batch, strict=True):
            labels = self(image, target["size"])
            self.scores.update(labels, target["labels"])
            if self.trainer.state.fn == "validate":
                self._write_map(target["name"], labels)
            if self.drawn < self.share(self.pictures) and not self.trainer.sanity_checking:
                self.show(target["name"], compare(image, target["labels"], labels, self.listed.names))
                self.drawn += 1

    def on_validation_epoch_end(self) -> None:
        """Compute and log the scores of all images.

        Raises:
            ValueError: there was nothing to score, in `validate`.
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
        """Mean scores of the last validation, and the folder of its pictures."""
        return "" if self.scored is None else f"{_summary(self.scored)}\npictures: {self.folder / 'pictures'}"

    def on_predict_start(self) -> None:
        """Set the label maps of an earlier prediction aside; without a checkpoint, classes are named by number."""
        super().on_predict_start()
        self._set_maps_aside()
        self.class_list = self.class_list or ClassList.numbered(self.model.num_classes)

    def predict_step(self, batch: Images, batch_idx: int) -> None:
        """Write the label maps and pictures of a batch of files; an image with non-finite output is skipped."""
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
        """Write the picture of an image; if it cannot be drawn, log a warning."""
        try:
            picture = overlay(image, labels, self.listed.names)
        except (ValueError, cv2.error) as error:
            logger.warning("There is no picture of %s: %s", name, error)
            return
        self.write(f"pictures/{name}.png", picture)

    def on_predict_end(self) -> None:
        """Print the folders of the results, and how many images were skipped.

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
        """Add the class list to a checkpoint."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["class_list"] = asdict(self.listed)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the class list from a checkpoint.

        Raises:
            ValueError: the checkpoint has other classes than model or data, or is of another model.
        """
        super().on_load_checkpoint(checkpoint)
        self.class_list = self.class_list or ClassList(**checkpoint["class_list"])  # that of the data comes first

    @property
    def listed(self) -> ClassList:
        """The class list, once it is known.

        Raises:
            RuntimeError: neither data nor a checkpoint has been read yet.
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
            write_map(self.path(f"results/{name}.png"), self.listed.to_values(labels.cpu().numpy()))


def _summary(scores: Scores) -> str:
    """Text of the mean scores, by both conventions for absent classes."""
    figures = scores.figures()
    other = "zero" if scores.absent == "skip" else "skip"
    rule = {"skip": "over the classes that occur", "zero": "over all classes, absent ones count 0"}
    return (
        f"mIoU {figures['mIoU']:.3f} ({rule[scores.absent]}; {figures[f'mIoU_{other}']:.3f} {rule[other]})\n"
        f"pixel accuracy {figures['pixel_accuracy']:.3f}  class accuracy {figures['class_accuracy']:.3f}"
    )
