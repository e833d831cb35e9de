"""Checkpoint to resume from: never half written when a run is killed, and up to date after SIGTERM or Ctrl-C."""

import signal
import sys
import threading
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ...files.whole import write_torch
from .checkpoint_content import check_content

STEPS, SECONDS = 20, 5.0  # after which several processes ask each other whether one was asked to end, the first of both
SIGNALS = (0, signal.SIGTERM, signal.SIGINT)  # the later ones count more


class LastCheckpoint(ModelCheckpoint):
    """Saves the latest state; arguments are those of ModelCheckpoint.

    A state is saved only between two optimizer steps, because checkpoints hold no gradients. If it is due at the last
    step of an epoch, or right before a validation, it is saved after the epoch or validation. On SIGTERM, or SIGINT
    (Ctrl-C), the current step or validation is finished, the state saved, and training stops with exit code 143 or
    130. A second SIGINT ends it at once. Of several processes all end together, after 20 steps or 5 seconds at most, or
    after the step that takes longer: asking each other after every step would keep a GPU waiting.
    """

    asked_to_end: int = 0  # number of the signal received
    steps = 0  # since the processes asked each other
    pause = 1  # steps until they do

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle signals from now on."""
        super().on_train_start(trainer, pl_module)
        self.asked_to_end = signal.SIGTERM if trainer.received_sigterm else 0
        self.speaks = trainer.is_global_zero
        self.steps, self.pause, self.since = 0, 1, perf_counter()
        # Lightning would send the signals of the first process, and wait for the device, before every batch
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._remember)  # the trainer restores the earlier handlers

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
        """Save if it is time to, and stop if a process was asked to end."""
        if not trainer.is_last_batch:
            if (batch_idx + 1) % trainer.accumulate_grad_batches:
                return
            if not self._validation_follows(trainer):
                super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self.steps += 1
        if trainer.is_last_batch or trainer.world_size == 1 or self.steps >= self.pause:
            self._agree_to_end(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the validation run to its end: processes with fewer batches would not notice that it stopped."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            trainer._signal_connector.received_sigterm = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if it was due at the step before, and stop if a process was asked to end."""
        super().on_validation_end(trainer, pl_module)
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            if not trainer.is_last_batch:
                super().on_train_batch_end(trainer, pl_module, None, None, 0)
            self._agree_to_end(trainer)

    def _validation_follows(self, trainer: Trainer) -> bool:
        """Whether a validation comes before the next step; a run resumed from a checkpoint before it would skip it."""
        loop = trainer.fit_loop
        return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)  # type: ignore[arg-type]

    def _agree_to_end(self, trainer: Trainer) -> None:
        """Stop all processes after this step if one of them was asked to end."""
        asked = SIGNALS.index(self.asked_to_end)
        if trainer.world_size > 1:
            pace = (perf_counter() - self.since) / max(self.steps, 1)
            values = torch.tensor([asked, pace], device=trainer.strategy.root_device)
            asked, pace = trainer.strategy.reduce(values, reduce_op="max").tolist()
            self.pause = min(max(int(SECONDS / max(pace, 1e-9)), 1), STEPS)  # the same in all processes
            self.steps, self.since = 0, perf_counter()
        if asked:
            self.asked_to_end = SIGNALS[int(asked)]  # in all processes
            trainer._signal_connector.received_sigterm = True  # makes the trainer stop after this step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if it was due at the last step of the epoch."""
        super().on_train_epoch_end(trainer, pl_module)
        super().on_train_batch_end(trainer, pl_module, None, None, 0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end of the training, whatever the interval of saving."""
        super().on_train_end(trainer, pl_module)
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save if the run was asked to end, and print how to resume."""
        if isinstance(exception, SIGTERMException):
            exception.code = 128 + (self.asked_to_end or signal.SIGTERM)
            super().on_exception(trainer, pl_module, exception)
        if isinstance(exception, SIGTERMException | KeyboardInterrupt) and trainer.is_global_zero:
            known = (Path(self.dirpath or "") / "last.ckpt").exists()
            way = "To go on, give the same command with --ckpt_path last." if known else "No epoch was finished."
            print(f"Stopped. {way}", file=sys.stderr)


class WholeFiles(TorchCheckpointIO):
    """Checkpoint files that are always complete and on the disk, even if the process or the computer dies.

    The entries of a checkpoint are checked when it is read.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: the content.
            path: the file.
            storage_options: not used.

        Raises:
            OSError: the file cannot be written, e.g. on a full disk; an earlier one stays as it was.
        """
        write_torch(Path(path), checkpoint)

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read a checkpoint as `TorchCheckpointIO` does.

        Raises:
            ValueError: an entry is not of the type that a training writes.
        """
        checkpoint = super().load_checkpoint(path, *args, **kwargs)
        check_content(checkpoint, str(path))
        return checkpoint
