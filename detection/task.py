"""Lightning module that trains, scores and applies a detector."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from detection.data.coco_data import Batch, CocoData
from detection.data.origins import Origins
from detection.data.regions import draw_regions
from detection.detectors.class_transfer import load_detector_weights
from detection.detectors.detector import Detector
from detection.evaluation.average_precision import FIGURES
from detection.evaluation.coco_evaluator import CocoEvaluator, to_original, to_results
from detection.evaluation.report import write_report
from detection.evaluation.result_spool import ResultSpool, in_order
from detection.inference.drawing import draw_detections
from detection.inference.test_time_augmentation import Views, check_model
from detection.inference.tiles import Tiles, detect_each
from detection.supervision_checks import check_supervision
from swinv2.files.whole import write_whole
from swinv2.imaging.drawing import side_by_side
from swinv2.imaging.resize import resize
from swinv2.training.distributed import gather
from swinv2.training.heads import prepare_heads
from swinv2.training.schedules import OptimizerConfig
from swinv2.training.task import Task


class DetectionTask(Task):
    """Train a detector with AdamW, score it as COCO does, and draw its detections.

    Pictures of validation images, truth beside detections, go to the run's folder and to TensorBoard. A checkpoint
    contains the names of its classes.

    Args:
        model: the detector.
        optimizer: learning rate, decay, schedule.
        weights: checkpoint to start from, of this detector or of a backbone, in any known layout.
        class_map: JSON file with the class of `weights` that each class of the data starts from, if `weights` has other
            classes; without it class-specific layers of another size start at random.
        tiles: how large images are cut into tiles in validation and prediction; None: not at all.
        views: sizes and flips of each image or tile in validation and prediction; None: as it is.
        score_threshold: lowest score that is drawn, 0 to 1.
        pictures: number of validation images to draw.
        compile_heads: whether `torch.compile` compiles the heads, for images of any size, which takes minutes at first.
        output: folder for the pictures and results of validation and prediction; if None, the run's folder.
    """

    model: Detector

    def __init__(
        self,
        model: Detector,
        optimizer: OptimizerConfig = OptimizerConfig(),
        weights: str | None = None,
        class_map: Path | None = None,
        tiles: Tiles | None = None,
        views: Views | None = None,
        score_threshold: float = 0.5,
        pictures: int = 8,
        compile_heads: bool = False,
        output: Path | None = None,
    ):
        super().__init__(model, optimizer, weights if class_map is None else None, output)
        self.weights = weights
        self.class_map = class_map
        self.tiles = tiles
        self.views = views
        self.score_threshold = score_threshold
        self.pictures = pictures
        self.compile_heads = compile_heads
        self.category_ids: list[int] = []
        self.evaluator: CocoEvaluator | None = None
        self.scores: dict[str, float] = {}
        self.found: ResultSpool | None = None
        self.drawn = 0
        if views is not None:
            check_model(model)
        if class_map is not None and weights is None:
            raise ValueError(f"class_map {class_map} says how to read weights, but there are none; give model.weights.")

    def setup(self, stage: str) -> None:
        """Check that data and model fit each other, before anything is computed.

        Raises:
            ValueError: the numbers of classes differ, masks or semantic maps are missing, or the class map does not
                fit.
        """
        prepare_heads(self.model, self.trainer.strategy.root_device, self.compile_heads)
        if stage == "predict":
            if self.class_map is not None:
                raise ValueError(
                    "A class map needs data that name the classes, which predict has not; use --ckpt_path."
                )
            return  # a checkpoint contains the classes
        data = self.data
        self.take_classes()
        if stage == "fit" and data.train_set is not None:
            data.train_set.with_masks = self.model.has_masks if data.masks is None else data.masks
            data.train_set.semantic_classes = self.model.semantic_classes or data.train_set.semantic_classes
            check_supervision(self.model, data)
        if self.class_map is not None and self.weights is not None:
            load_detector_weights(self.model, self.weights, data.class_names, self.class_map)
        self.category_ids = data.category_ids
        self.evaluator = CocoEvaluator(data.annotations)

    def validation_metrics(self) -> list[str]:
        """Names of COCO's metrics of boxes and, if the model has them, masks."""
        kinds = ("box", "mask") if self.model.has_masks else ("box",)
        return [f"{kind}/{figure}" for kind in kinds for figure in FIGURES]

    @property
    def data(self) -> CocoData:
        """The data that the trainer runs on."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        """Detect objects in images, each (3, H, W) RGB."""
        return detect_each(self.model, images, self.tiles, self.views)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Sum of the losses of a batch."""
        images, targets = batch
        return self.log_losses(self.model(images, targets), len(images))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the detections of a batch, and draw those of the first."""
        images, targets = batch
        detections = self(images) if images else []
        assert self.evaluator is not None
        self.evaluator.update(detections, targets)
        for image, target, detection in zip(images, targets, detections, strict=True):
            if self.drawn < self.share(self.pictures) and not self.trainer.sanity_checking:
                self._draw_beside_truth(image, target, detection)

    def on_validation_epoch_end(self) -> None:
        """Score the collected detections; those of a test set without annotations are only written."""
        assert self.evaluator is not None
        self.drawn = 0
        if not self.data.annotations.scored:
            self._hand_in(self.evaluator)
            return
        scores, results = self.evaluator.compute(), self.evaluator.results()
        if self.trainer.sanity_checking:
            self.evaluator.reset()
            return
        self.scores = scores
        self.log_scores(scores, ("box/AP", "mask/AP"))
        if self.trainer.state.fn == "validate" and self.trainer.is_global_zero:
            self._write_results(json.dumps(results))
            report = write_report(self.folder, self.evaluator, self.data.val_folder)
            print(f"\n{self.evaluator.table()}\n\n{_summary(scores)}\n\nreport: {', '.join(map(str, report))}")
        self.evaluator.reset()

    def summary(self) -> str:
        """Average precision of the last validation, and the folder of its pictures."""
        return f"{_summary(self.scores)}\npictures: {self.folder / 'pictures'}" if self.scores else ""

    def on_predict_start(self) -> None:
        """Prepare names and ids of the classes, numbers without a checkpoint, and the file for detections."""
        super().on_predict_start()
        self.class_names = self.class_names or self.numbered_classes()
        self.category_ids = self.category_ids or list(range(self.model.num_classes))
        self.found = ResultSpool(self.path("results.json").parent)

    def predict_step(self, batch: Batch, batch_idx: int) -> None:
        """Draw the detections of a batch of files, and add them to the results."""
        assert self.found is not None
        images, targets = batch
        for image, target, detection in zip(images, targets, self(images) if images else [], strict=True):
            picture = draw_detections(image, detection, self.class_names, self.score_threshold)
            name = f"{target['image_id']:05d}_{target['path'].stem}.png"
            self.write(f"pictures/{name}", picture)
            entries = to_results(to_original(detection, target), target, self.category_ids)
            self.found.add(target["image_id"], [entry | {"file_name": str(target["path"])} for entry in entries])
            self.predicted += 1

    def on_predict_end(self) -> None:
        """Write all detections, of all processes, as COCO results.

        Raises:
            ValueError: no image could be read.
        """
        skipped = self.check_predicted()
        assert self.found is not None
        results = in_order(gather(self.found.read()))
        self.found = None
        if self.trainer.is_global_zero:
            path = self._write_results(f"[{', '.join(results)}]")
            print(f"\n{skipped}{len(results)} detections: {path}\npictures: {self.folder / 'pictures'}")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add names and ids of the classes to a checkpoint."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["category_ids"] = self.category_ids

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take names and ids of the classes from a checkpoint.

        Raises:
            ValueError: the checkpoint has other classes or is of another model.
        """
        super().on_load_checkpoint(checkpoint)
        self.category_ids = self.category_ids or checkpoint["category_ids"]

    def _hand_in(self, evaluator: CocoEvaluator) -> None:
        """Write the detections of test images, which have no annotations, as a benchmark server takes them."""
        evaluator.gather()
        results = evaluator.results()
        if self.trainer.is_global_zero:
            path = self._write_results(json.dumps(results))
            print(f"\n{self.data.val_annotations} has no annotations to score by.\n{len(results)} detections: {path}")
        evaluator.reset()

    def _draw_beside_truth(self, image: Tensor, target: dict[str, Any], detection: dict[str, Tensor]) -> None:
        truth = {"boxes": target["boxes"], "labels": target["labels"]}
        whole = self.data.annotations.target(target["image_id"], with_regions=True)
        if "regions" in whole:
            truth["masks"] = draw_regions(whole["regions"], resize(Origins.whole(*target["orig_size"]), target["size"]))
        drawn = [draw_detections(image, shown, self.class_names, self.score_threshold) for shown in (truth, detection)]
        self.show(str(target["image_id"]), side_by_side(drawn, ["truth", "detected"]))
        self.drawn += 1

    def _write_results(self, results: str) -> Path:
        path = self.path("results.json")
        write_whole(path, lambda part: part.write_text(results))
        return path


def _summary(scores: dict[str, float]) -> str:
    """AP, AP50 and AP75 of boxes and masks, one line each."""
    lines = []
    for kind in ("box", "mask"):
        if f"{kind}/AP" in scores:
            figures = "  ".join(f"{name} {scores[f'{kind}/{name}']:.3f}" for name in ("AP", "AP50", "AP75"))
            lines.append(f"{kind:4}  {figures}")
    return "\n".join(lines)
