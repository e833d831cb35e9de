"""What computes the blocks of a run: said once, and prepared where weights do not change."""

from contextlib import ExitStack
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info

from swinv2 import Watch, optimize_for_inference


class EngineReport(Callback):
    """Says after the first batch what computes the backbone's blocks; prepares it to be validated or to predict."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._watch: Watch | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to look."""
        self._begin(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepare the blocks, unless this is the validation of a training."""
        if trainer.state.fn == "validate":
            optimize_for_inference(pl_module)
            self._begin(pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepare the blocks."""
        optimize_for_inference(pl_module)
        self._begin(pl_module)

    def on_train_batch_end(self, *_: Any) -> None:
        """Say what was seen."""
        self._say()

    def on_validation_batch_end(self, *_: Any) -> None:
        """Say what was seen."""
        self._say()

    def on_predict_batch_end(self, *_: Any) -> None:
        """Say what was seen."""
        self._say()

    def on_exception(self, *_: Any) -> None:
        """Look no more."""
        self._stack.close()

    def _begin(self, model: LightningModule) -> None:
        self._watch = self._stack.enter_context(Watch(model))

    def _say(self) -> None:
        if self._watch is not None and self._watch.found:  # a batch of unreadable files calls no block
            self._stack.close()
            rank_zero_info(f"Backbone: {self._watch.summary()}.")
            self._watch = None
