"""The checkpoint to go on from: whole whenever a run is killed, and up to date when it is asked to end."""

import signal
import sys
import threading
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ...files.whole import write_torch
from .checkpoint_content import check_content


class LastCheckpoint(ModelCheckpoint):
    """Saves the latest state; arguments are those of ModelCheckpoint.

    A state is saved between two steps of the optimizer only, as gradients are in no checkpoint, and what is due in the
    last step of an epoch, or in one before a validation, is saved after that. When the process is asked to end
    (SIGTERM, or SIGINT as by Ctrl-C), the step or validation that is under way is finished, its state saved, and
    training stops with exit code 143 or 130. A second SIGINT ends it at once.
    """

    asked_to_end: int = 0  # the signal

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called before the first step: from now on it is this checkpoint that answers signals."""
        super().on_train_start(trainer, pl_module)
        self.asked_to_end = signal.SIGTERM if trainer.received_sigterm else 0
        self.speaks = trainer.is_global_zero
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._remember)  # the trainer puts back what was there before

    def _remember(self, number: int, *_: Any) -> None:
        if number == self.asked_to_end == signal.SIGINT:
            raise KeyboardInterrupt
        if number == signal.SIGINT and self.speaks:
            print(
                "\nFinishing the step or validation under way and saving; Ctrl-C again stops at once.", file=sys.stderr
            )
        self.asked_to_end = number

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Called after each batch: save if it is time to, and see whether a process was asked to end."""
        if not trainer.is_last_batch:
            if (batch_idx + 1) % trainer.accumulate_grad_batches:
                return
            if not self._validation_follows(trainer):
                super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self._agree_to_end(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called before each validation, which is finished: processes with fewer batches would not see it stopped."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            trainer._signal_connector.received_sigterm = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after each validation: save what was due in the step before, and see who was asked to end."""
        super().on_validation_end(trainer, pl_module)
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            if not trainer.is_last_batch:
                super().on_train_batch_end(trainer, pl_module, None, None, 0)
            self._agree_to_end(trainer)

    def _validation_follows(self, trainer: Trainer) -> bool:
        """Whether there is one between this step and the next, which a training resumed from before it leaves out."""
        loop = trainer.fit_loop
        return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)  # type: ignore[arg-type]

    def _agree_to_end(self, trainer: Trainer) -> None:
        """Stop all processes after this step if one of them was asked to end."""
        if trainer.strategy.reduce_boolean_decision(self.asked_to_end > 0, all=False):
            interrupted = trainer.strategy.reduce_boolean_decision(self.asked_to_end == signal.SIGINT, all=False)
            self.asked_to_end = signal.SIGINT if interrupted else signal.SIGTERM  # in all processes
            trainer._signal_connector.received_sigterm = True  # the trainer stops when this step is done

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after each epoch, whose last step may have been the time to save."""
        super().on_train_epoch_end(trainer, pl_module)
        super().on_train_batch_end(trainer, pl_module, None, None, 0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after the last step: a finished run's last checkpoint is its end, whatever is saved in between."""
        super().on_train_end(trainer, pl_module)
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Called whatever stops the trainer: save if it was asked to end, and say how to go on."""
        if isinstance(exception, SIGTERMException):
            exception.code = 128 + (self.asked_to_end or signal.SIGTERM)
            super().on_exception(trainer, pl_module, exception)
        if isinstance(exception, SIGTERMException | KeyboardInterrupt) and trainer.is_global_zero:
            known = (Path(self.dirpath or "") / "last.ckpt").exists()
            way = "To go on, give the same command with --ckpt_path last." if known else "No epoch was finished."
            print(f"Stopped. {way}", file=sys.stderr)


class WholeFiles(TorchCheckpointIO):
    """Writes checkpoints so that a file is always whole and on the disk, whatever ends the process or the computer.

    Of what it reads it checks the parts.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: what is in it.
            path: its file.
            storage_options: of other storages; not used.

        Raises:
            OSError: it cannot be written, as on a full disk; an earlier file is as it was.
        """
        write_torch(Path(path), checkpoint)

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read a checkpoint, as `TorchCheckpointIO` does.

        Raises:
            ValueError: a part of it is of another kind than a training writes.
        """
        checkpoint = super().load_checkpoint(path, *args, **kwargs)
        check_content(checkpoint, str(path))
        return checkpoint
