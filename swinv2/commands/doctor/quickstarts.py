"""A short training of each quickstart, in processes of their own: whether the loss falls, and how fast steps are."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from .finding import Finding
from .processes import findings_of, tell

TASKS = ("classification", "detection", "segmentation", "video", "simmim")
AROUND = 300.0  # seconds for drawing the data and for what else is around the steps


def train_quickstarts(device: str, seconds: float) -> Iterator[Finding]:
    """Train each quickstart, and say where its loss began and ended.

    Args:
        device: such as cpu or cuda:0.
        seconds: that each is trained for at most.
    """
    for task in TASKS:
        with tempfile.TemporaryDirectory() as folder:
            label = f"{device}, {task}"
            job = [task, device, str(seconds), label]
            yield from findings_of(f"{__name__}:train", job, label, {}, seconds + AROUND, Path(folder))


def train(task: str, device: str, seconds: str, label: str) -> None:
    """Train one quickstart in this folder and tell how it went; arguments as of `train_quickstarts`.

    Raises:
        SystemExit: the training fails.
    """
    from swinv2.cli import main

    kind, _, number = device.partition(":")
    limit = time.strftime("00:%H:%M:%S", time.gmtime(float(seconds)))
    options = {
        "accelerator": {"cuda": "gpu"}.get(kind, kind),
        "devices": f"{number}," if number and kind != "mps" else "1",
        "max_time": limit,
        "limit_val_batches": "0",
        "enable_checkpointing": "false",
        "logger": "false",
        "callbacks+": f"{__name__}.LossRecord",
        "callbacks.label": label,
    }
    given = [word for name, value in options.items() for word in (f"--trainer.{name}", value)]
    if main([task, "fit", "--config", f"{task}/quickstart", *given]):
        raise SystemExit(1)


class LossRecord(Callback):
    """Keeps the loss of each step and tells at the end how the training went.

    Args:
        label: name of the finding.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self._losses: list[torch.Tensor] = []
        self._first = 0.0

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, *_: Any) -> None:
        """Keep the loss; time begins with the end of the first step, in which kernels are compiled."""
        self._first = self._first or time.perf_counter()
        self._losses.append(outputs["loss"].detach())

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Tell."""
        losses = torch.stack(self._losses).tolist()
        tell([verdict(self.label, losses, time.perf_counter() - self._first)])


def verdict(label: str, losses: list[float], seconds: float) -> Finding:
    """Whether a training learns.

    Args:
        label: name of the finding.
        losses: of each step.
        seconds: from the end of the first step to that of the last.
    """
    share = max(len(losses) // 10, 1)
    begin, end = (statistics.fmean(part) for part in (losses[:share], losses[-share:]))
    pace = (len(losses) - 1) / seconds if seconds > 0 else 0.0
    text = f"{len(losses)} steps, {pace:.1f} a second, loss {begin:.3f} to {end:.3f}"
    return Finding(label, text if end < begin else f"the loss does not fall: {text}", not end < begin)
