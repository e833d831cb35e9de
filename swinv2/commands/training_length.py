"""How long a training is: images, batches, steps, epochs."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jsonargparse import Namespace
from lightning import LightningDataModule
from torch.utils.data import Dataset

DEFAULT_EPOCHS = 1000  # Lightning's, where neither epochs nor steps are given


@dataclass(frozen=True)
class Length:
    """The length of a training.

    Attributes:
        batch_size: items a batch and device.
        devices: of each node.
        nodes: number of computers.
        accumulation: batches a step.
        batches: of an epoch, a device.
        total_steps: optimizer steps of the whole training.
    """

    batch_size: int
    devices: int
    nodes: int
    accumulation: int
    batches: int
    total_steps: int

    @property
    def items_per_step(self) -> int:
        """Images or videos of an optimizer step."""
        return self.batch_size * self.devices * self.nodes * self.accumulation

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch."""
        return math.ceil(self.batches / self.accumulation)

    @property
    def epochs(self) -> float:
        """How often all of the data is seen."""
        return self.total_steps / self.steps_per_epoch


class StandIn(Dataset[Any]):
    """As many items as a data set has, of which none can be had.

    Args:
        items: how many.
    """

    def __init__(self, items: int):
        self.items = items

    def __len__(self) -> int:
        return self.items


def training_length(trainer: Namespace, data: LightningDataModule, items: int) -> Length:
    """The length of a training as the loader and the trainer make it.

    Args:
        trainer: that part of a recipe.
        data: gives the loader; its training set is replaced.
        items: images or videos to train on.

    Raises:
        ValueError: the training has no end, or not one batch.
    """
    devices, accumulation = count_devices(trainer), trainer.accumulate_grad_batches
    share = math.ceil(items / (devices * trainer.num_nodes))
    data.train_set = StandIn(max(share, 0))  # type: ignore[attr-defined]
    loader = data.train_dataloader()
    batches = limited(len(loader), trainer.limit_train_batches)
    if batches < 1:
        raise ValueError(f"{items} items make no batch of {loader.batch_size}; give more data or a smaller batch_size.")
    total = count_steps(trainer, math.ceil(batches / accumulation))
    return Length(loader.batch_size, devices, trainer.num_nodes, accumulation, batches, total)


def count_devices(trainer: Namespace) -> int:
    """Devices of a node, of this one where the recipe leaves it to the machine."""
    devices = trainer.devices
    if isinstance(devices, str) and "," in devices:
        devices = [part for part in devices.split(",") if part.strip()]
    if isinstance(devices, list):
        return len(devices)
    if devices in ("auto", "-1", -1):
        return 1 if trainer.accelerator == "cpu" else max(torch.cuda.device_count(), 1)
    return int(devices)


def limited(batches: int, limit: int | float | None) -> int:
    """Batches of an epoch under Lightning's `limit_train_batches`: a number, or a share if it is a float."""
    if limit is None:
        return batches
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def count_steps(trainer: Namespace, steps_per_epoch: int) -> int:
    """Optimizer steps until `max_epochs` or `max_steps`, whichever comes first.

    Raises:
        ValueError: neither ever comes.
    """
    epochs, steps = trainer.max_epochs, trainer.max_steps
    if epochs is None and steps == -1:
        epochs = DEFAULT_EPOCHS
    limits = [steps] if steps != -1 else []
    limits += [epochs * steps_per_epoch] if epochs not in (None, -1) else []
    if not limits:
        raise ValueError("A schedule needs to know when training ends; set trainer.max_epochs or trainer.max_steps.")
    return min(limits)
