"""Engines of the backbone's blocks: logged once per run, and prepared where weights do not change."""

from contextlib import ExitStack
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info

from swinv2 import Watch, optimize_for_inference


class EngineReport(Callback):
    """Logs after the first batch which engines compute the blocks; prepares them for validation and prediction."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._watch: Watch | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to watch the blocks."""
        self._begin(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepare and watch the blocks, unless this is the validation of a training."""
        if trainer.state.fn == "validate":
            optimize_for_inference(pl_module)
            self._begin(pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepare and watch the blocks."""
        optimize_for_inference(pl_module)
        self._begin(pl_module)

    def on_train_batch_end(self, *_: Any) -> None:
        """Log the engines once they are known."""
        self._say()

    def on_validation_batch_end(self, *_: Any) -> None:
        """Log the engines once they are known."""
        self._say()

    def on_predict_batch_end(self, *_: Any) -> None:
        """Log the engines once they are known."""
        self._say()

    def on_exception(self, *_: Any) -> None:
        """Stop watching."""
        self._stack.close()

    def _begin(self, model: LightningModule) -> None:
        self._watch = self._stack.enter_context(Watch(model))

    def _say(self) -> None:
        if self._watch is not None and self._watch.found:  # a batch of unreadable files calls no block
            self._stack.close()
            rank_zero_info(f"Backbone: {self._watch.summary()}.")
            self._watch = None
