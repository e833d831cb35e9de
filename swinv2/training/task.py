"""Base of all tasks: a model with classes, its optimizer, and a folder for results."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from lightning import LightningModule
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from ..files.paths import safe_name
from ..imaging.drawing import Picture, save
from ..weights.loading import load_weights
from .checks import (
    backbone_of,
    check_checkpoint,
    check_class_count,
    check_class_names,
    check_monitors,
    check_windows,
)
from .data import TaskData
from .distributed import gather, mean_over_processes
from .finite import NotFiniteError, check_finite
from .runs.loggers import Board
from .schedules import OptimizerConfig, doubts_of_validation, training_steps
from .skipped import nothing_predicted, skipped_lines

log = logging.getLogger(__name__)

SHOWN_EVERY = 20  # steps after which a progress bar has the loss on a GPU, which has to be waited for


class Task(LightningModule):
    """Trains a model with AdamW; its checkpoints carry the names of the classes.

    Args:
        model: with `num_classes`.
        optimizer: learning rate, decay, schedule.
        weights: checkpoint of any known layout to start from, or None.
        output: folder for pictures and results; if None, the run's folder.

    Attributes:
        items: name of the data's items, in the plural.
        predicted: number of items of a prediction with a result, in this process.
        spoilt: number of items of a prediction whose output is not finite, in this process.
    """

    items: ClassVar[str] = "images"

    def __init__(self, model: nn.Module, optimizer: OptimizerConfig, weights: str | None, output: Path | None):
        super().__init__()
        self.model = model
        self.optimizer_config = optimizer
        self.output = output
        self.class_names: list[str] = []
        self.logged: Path | None = None  # folder of a training's logs in the first process
        self.watched = False  # whether the metrics that callbacks monitor are checked
        self.predicted = self.spoilt = 0
        if weights is not None:
            load_weights(model, weights)

    @property
    def data(self) -> TaskData:
        """The data that the trainer runs on."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    @property
    def folder(self) -> Path:
        """Folder for pictures and results."""
        command = self.trainer.state.fn
        run = Path(self.trainer.default_root_dir) / (command.value if command else "")  # fit, validate or predict
        return self.output or self.logged or next(self._log_folders(), run)

    def share(self, number: int) -> int:
        """Number of the first `number` items of an unshuffled data set that come to this process.

        Args:
            number: of items, over all processes.
        """
        return max(-(-(number - self.trainer.global_rank) // self.trainer.world_size), 0)

    def take_classes(self) -> None:
        """Take the names of the classes from the data.

        Raises:
            ValueError: the model has another number of classes.
        """
        check_class_count(cast(int, self.model.num_classes), self.data.class_names)
        self.class_names = list(self.data.class_names)

    def numbered_classes(self) -> list[str]:
        """Default names of the model's classes: "class 0", "class 1" and so on."""
        return [f"class {label}" for label in range(cast(int, self.model.num_classes))]

    def configure_optimizers(self) -> Any:
        """AdamW and its schedule."""
        scales_loss = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        return self.optimizer_config.configure(self.model, lambda: training_steps(self.trainer), scales_loss)

    def on_fit_start(self) -> None:
        """Check before the first step that the metrics monitored by callbacks exist.

        Raises:
            ValueError: one does not.
        """
        self.watched = False
        self.logged = self.trainer.strategy.broadcast(next(self._log_folders(), None))
        check_monitors(self.trainer, self.validation_metrics())

    def on_train_start(self) -> None:
        """Warn about parts of the schedule and validations that lie after the end of the training."""
        if self.trainer.is_global_zero:
            steps = training_steps(self.trainer)
            for doubt in [*self.optimizer_config.doubts(*steps), *doubts_of_validation(self.trainer, *steps)]:
                log.warning(doubt)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Check the monitored metrics again after the first step, when those of the training are known.

        Raises:
            ValueError: a callback monitors a metric that does not exist.
        """
        if not self.watched:
            check_monitors(self.trainer, self.validation_metrics())
            self.watched = True

    def validation_metrics(self) -> Sequence[str]:
        """Names of the metrics of a validation, for checkpoints and early stopping."""
        return ()

    def summary(self) -> str:
        """Scores of the last validation of a training, in a few lines; empty if there was none."""
        return ""

    def on_fit_end(self) -> None:
        """Print the scores, and the number of skipped items."""
        names = {f"training_{self.items}": "train_set", f"validation_{self.items}": "val_set"}
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        sets = {items: getattr(data, name, None) for items, name in names.items()}  # which data of others may not have
        skipped, summary = skipped_lines(**sets), self.summary()
        if self.trainer.is_global_zero:
            print(f"\n{summary}\n{skipped}" if summary else skipped, end="")

    def on_predict_start(self) -> None:
        """Reset the counts."""
        self.predicted = self.spoilt = 0

    def skip(self, target: Mapping[str, Any]) -> None:
        """Skip an image whose predicted output is not finite."""
        self.data.predict_set.skipped.add(target["image_id"] - 1, NotFiniteError(target["path"]))
        self.spoilt += 1

    def check_predicted(self, what: str = "results") -> str:
        """Line about the images skipped in a prediction; all processes have to call this.

        Args:
            what: name of the results.

        Raises:
            ValueError: no image has a result.
        """
        skipped = skipped_lines(images=self.data.predict_set)
        if not sum(gather(self.predicted)):
            raise nothing_predicted(self.spoilt, what)
        return skipped

    def log_scores(self, scores: Mapping[str, float], shown: Sequence[str]) -> None:
        """Log the scores of a validation, those in `shown` in the progress bar, too."""
        self.log_dict({name: score for name, score in scores.items() if name in shown}, prog_bar=True)
        self.log_dict({name: score for name, score in scores.items() if name not in shown})

    def log_losses(self, losses: Mapping[str, Tensor], batch_size: int) -> Tensor:
        """Sum of a step's losses in this process; logs their means over all processes."""
        total = torch.stack(list(losses.values())).sum()
        figures = {"loss": total} | {f"train/{name}": loss for name, loss in losses.items()}
        figures = mean_over_processes(figures)
        self.log_dict(figures, batch_size=batch_size)
        is_shown = figures["loss"].device.type == "cpu" or self.trainer.fit_loop.batch_idx % SHOWN_EVERY == 0
        if is_shown and self.trainer.progress_bar_callback is not None:
            self.trainer.progress_bar_metrics["loss"] = float(figures["loss"])
        return total

    def show(self, name: str, picture: Picture) -> None:
        """Write a picture of a validation image to the run's folder and, in the first process, to TensorBoard."""
        self.write(f"pictures/{name}.png", picture)
        tag = f"validation/{name}".encode("utf-8", "replace").decode()  # names of files may have other bytes
        for board in self.loggers:
            if isinstance(board, Board):
                board.add_picture(tag, picture, self.global_step)
            elif isinstance(board, TensorBoardLogger):
                board.experiment.add_image(tag, picture, self.global_step, dataformats="HWC")

    def write(self, name: str, picture: Picture) -> Path:
        """Write a picture to a file below the run's folder."""
        path = self.path(name)
        save(path, picture)
        return path

    def path(self, name: str) -> Path:
        """Path of a file below the run's folder; makes its parent folder.

        Args:
            name: parts with slashes between them, which may come from data, see `safe_name`.

        Raises:
            OSError: the folder cannot be made.
        """
        path = self.folder / safe_name(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"The folder {path.parent} for results cannot be made ({error.strerror}: {error.filename}); give "
                "model.output, or trainer.default_root_dir, a folder that can be written."
            ) from error
        return path

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save classes and windows with the weights."""
        checkpoint["class_names"] = self.class_names
        checkpoint["window_size"] = backbone_of(self.model).window_size

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the class names from the checkpoint; if the data has named them already, they must be the same.

        Raises:
            ValueError: the checkpoint has other classes than model or data, or it is of something else.
        """
        check_finite(checkpoint)
        check_checkpoint(self.model, checkpoint)
        check_class_names(self.class_names, checkpoint["class_names"])
        if "window_size" in checkpoint:
            check_windows(self.model, checkpoint["window_size"])
        self.class_names = checkpoint["class_names"]

    def _log_folders(self) -> Iterator[Path]:
        """Folders of the loggers, by this process alone."""  # the trainer's own log_dir waits for all processes
        return (Path(folder) for board in self.trainer.loggers if (folder := getattr(board, "log_dir", None)))
