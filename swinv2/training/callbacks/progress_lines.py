"""Progress of a run in lines of text, for logs: a bar needs a terminal."""

import math
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar

INTERVAL = 30.0  # seconds from line to line


class ProgressLines(ProgressBar):
    """Prints a line after the first step or batch, about every 30 seconds, and at the end of a training.

    Of a training it has step, losses, learning rate and time left; of a validation or prediction batch and time left.
    The first process prints.

    Args:
        interval: seconds from line to line.
    """

    def __init__(self, interval: int | float = INTERVAL):
        super().__init__()
        self.interval = interval
        self.is_enabled = True
        self.printed = -math.inf  # when the last line was
        self.pace = Pace()  # of the steps of a training
        self.batches = Pace()  # of a validation or prediction

    def disable(self) -> None:
        """Print nothing from now on."""
        self.is_enabled = False

    def enable(self) -> None:
        """Print from now on."""
        self.is_enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count at the step that the training goes on from."""
        self.pace, self.printed = Pace(trainer.global_step), -math.inf

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Print if it is time."""
        if self._is_due():
            left = self.pace.left(trainer.global_step, trainer.estimated_stepping_batches)
            self._say(f"{training_line(trainer)}{left}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print where the training ended."""
        self._say(training_line(trainer))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count the batches of a validation, by itself or within a training."""
        self._begin(trainer.state.fn == "validate")

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Print if it is time, and not the trial before a training."""
        if not trainer.sanity_checking:
            self._count("validation", trainer.num_val_batches)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count batches."""
        self._begin(True)

    def on_predict_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Print if it is time."""
        self._count("prediction", trainer.num_predict_batches)

    def _begin(self, alone: bool) -> None:
        self.batches = Pace()
        if alone:
            self.printed = -math.inf

    def _count(self, name: str, sizes: Sequence[int | float] | int | float) -> None:
        total = sum(sizes) if isinstance(sizes, Sequence) else sizes
        left = self.batches.left(self.batches.done + 1, total)
        if self._is_due():
            self._say(f"{name}: batch {of_all(self.batches.done, total)}{left}")

    def _is_due(self) -> bool:
        return self.is_enabled and perf_counter() - self.printed >= self.interval

    def _say(self, line: str) -> None:
        if self.is_enabled:
            self.printed = perf_counter()
            self.print(line, flush=True)


class Pace:
    """Time that is left by the time that was taken, beginning at the first step, which takes longer than others.

    Args:
        done: steps that were done before.
    """

    def __init__(self, done: int = 0):
        self.done = done
        self.first: tuple[int, float] | None = None  # step, and when it was done

    def left(self, done: int, total: int | float) -> str:
        """The time left as text with a comma before it, as soon as it can be known.

        Args:
            done: steps that are done.
            total: steps of all; infinite or -1 if there is no end.
        """
        self.done, now = done, perf_counter()
        if self.first is None:
            self.first = done, now
        since, start = self.first
        if done == since or not done < total < math.inf:
            return ""
        return f", {duration((now - start) / (done - since) * (total - done))} left"


def training_line(trainer: Trainer) -> str:
    """Step of all, losses and the highest learning rate."""
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    losses = [f", loss {metrics['loss']:.4g}"] if "loss" in metrics else []
    parts = [f"{name.removeprefix('train/')} {loss:.4g}" for name, loss in metrics.items() if name.startswith("train/")]
    losses += [f" ({', '.join(parts)})"] if len(parts) > 1 else []
    rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
    rate = f", lr {max(rates):.3g}" if rates else ""
    return f"step {of_all(trainer.global_step, trainer.estimated_stepping_batches)}{''.join(losses)}{rate}"


def of_all(done: int, total: int | float) -> str:
    """A number of all, if there is an end."""
    return f"{done:,} of {total:,}" if 0 <= total < math.inf else f"{done:,}"


def duration(seconds: int | float) -> str:
    """A time in its two greatest units at most."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
