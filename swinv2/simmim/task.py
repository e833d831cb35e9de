"""Training, validation and prediction of SimMIM with Lightning."""

import zlib
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics.aggregation import MeanMetric

from ..classification.data.image_data import Batch
from ..imaging.drawing import Picture, resized, side_by_side
from ..training.checks import backbone_of, check_tensors, check_windows
from ..training.distributed import gather
from ..training.finite import check_finite
from ..training.schedules import OptimizerConfig
from ..training.skipped import check_scored, skipped_lines
from ..training.task import Task
from .data import SimMIMData, TrainBatch
from .model import SimMIM

GREATEST_SIDE = 1024  # most pixels of each picture's long side


class SimMIMTask(Task):
    """Trains a backbone to predict masked patches with AdamW; the score is the error on validation images.

    In validation the mask of an image is always the same. Pictures of the first images, masked, reconstructed and
    original, go to the run's folder and to TensorBoard. Checkpoints can be the `weights` of other tasks.

    Args:
        model: the backbone and its decoder.
        optimizer: learning rate, decay, schedule.
        weights: checkpoint of any known layout to start from.
        pictures: number of validation images to draw.
        output: folder for the pictures of validation and prediction; if None, the run's folder.
    """

    model: SimMIM

    def __init__(
        self,
        model: SimMIM,
        optimizer: OptimizerConfig = OptimizerConfig(),
        weights: str | None = None,
        pictures: int = 8,
        output: Path | None = None,
    ):
        super().__init__(model, optimizer, weights, output)
        self.pictures = pictures
        self.errors = MeanMetric()
        self.measured = 0
        self.drawn = 0

    def validation_metrics(self) -> list[str]:
        """Names of the metrics of a validation."""
        return ["val_loss"]

    @property
    def data(self) -> SimMIMData:
        """The data that the trainer runs on."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def training_step(self, batch: TrainBatch, batch_idx: int) -> Tensor:
        """Error on the masked patches of a batch."""
        masks = self.model.draw_masks(batch)
        loss = self.model.loss(self.model(batch, masks), batch, masks)
        return self.log_losses({"loss_reconstruction": loss}, len(batch))

    def on_validation_start(self) -> None:
        """Reset the counts."""
        self.measured = self.drawn = 0

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure the error on a batch, and draw the first images."""
        images, targets = batch
        if not targets:
            return
        prediction, masks = self(images, [target["name"] for target in targets])
        self.errors.update(self.model.loss(prediction, images, masks), len(images))
        self.measured += len(images)
        if not self.trainer.sanity_checking:
            wanted = max(self.share(self.pictures) - self.drawn, 0)
            for target, picture in zip(targets, self._draw(prediction, images, masks, wanted), strict=False):
                self.show(target["name"], picture)
                self.drawn += 1

    def forward(self, images: TrainBatch, names: list[str]) -> tuple[Float[Tensor, "b 3 s s"], Bool[Tensor, "b t t"]]:
        """Predicted pixels, and the masks, which are seeded by the images' names: the same every time."""
        seeds = [zlib.crc32(name.encode("utf-8", "surrogateescape")) for name in names]
        masks = self.model.draw_masks(images, [torch.Generator().manual_seed(seed) for seed in seeds])
        return self.model(images, masks), masks

    def on_validation_epoch_end(self) -> None:
        """Compute and log the mean error.

        Raises:
            ValueError: no image could be read, outside of a training.
        """
        if self.trainer.sanity_checking:
            self.errors.reset()
            return
        there = check_scored(self, sum(gather(self.measured)), "image that can be read")
        error = self.errors.compute() if there else torch.tensor(torch.nan)
        self.errors.reset()
        self.log("val_loss", error, prog_bar=True)
        skipped = skipped_lines(images=self.data.val_set) if self.trainer.state.fn == "validate" else ""
        if self.trainer.state.fn == "validate" and self.trainer.is_global_zero:
            print(f"\nerror on hidden pixels {error:.4f}\n{skipped}pictures: {self.folder / 'pictures'}")

    def summary(self) -> str:
        """Error of the last validation, and the folder of its pictures."""
        error = self.trainer.callback_metrics.get("val_loss")
        return "" if error is None else f"error on hidden pixels {error:.4f}\npictures: {self.folder / 'pictures'}"

    def predict_step(self, batch: Batch, batch_idx: int) -> None:
        """Draw reconstructions of images; outputs that are not finite are skipped."""
        images, targets = batch
        if not targets:
            return
        prediction, masks = self(images, [target["name"] for target in targets])
        for at, target in enumerate(targets):
            one = slice(at, at + 1)
            if not prediction[at].isfinite().all():
                self.skip(target)
                continue
            (picture,) = self._draw(prediction[one], images[one], masks[one], 1)
            self.write(f"pictures/{target['name']}.png", picture)
            self.predicted += 1

    def on_predict_end(self) -> None:
        """Print the folder of the pictures.

        Raises:
            ValueError: no image could be read, or no output was finite.
        """
        skipped = self.check_predicted("pictures")
        if self.trainer.is_global_zero:
            print(f"\n{skipped}pictures: {self.folder / 'pictures'}")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the windows with the weights; there are no classes."""
        checkpoint["window_size"] = backbone_of(self.model).window_size

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raise unless a checkpoint has the tensors of this model, without NaN or infinity.

        Raises:
            ValueError: it has not.
        """
        check_finite(checkpoint)
        check_tensors(self.model, checkpoint)
        check_windows(self.model, checkpoint["window_size"])

    def _draw(self, prediction: Tensor, images: Tensor, masks: Tensor, count: int) -> list[Picture]:
        """Pictures of the first `count` images: masked, reconstructed and original side by side."""
        parts = self.model.reconstruct(prediction[:count], images[:count], masks[:count])
        rows = zip(*parts, images[:count], strict=True)
        titles = ("masked", "reconstructed", "original")
        return [side_by_side([resized(one, GREATEST_SIDE) for one in row], titles) for row in rows]
