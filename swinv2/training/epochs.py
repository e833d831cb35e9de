"""Randomness that depends on seed and epoch only, so that a resumed run sees what the uninterrupted one would have."""

from collections.abc import Iterator
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch.utils.data import Dataset, DistributedSampler

STRIDE = 1_000_003  # between the seeds of two epochs: a prime larger than most data sets


class EpochSampler(DistributedSampler[Any]):
    """The items of each epoch in random order, each as (epoch, index), shared out among the processes.

    Args:
        dataset: what is drawn from.
        trainer: knows the epoch and the processes; without one it is always the first epoch of a single process.
        seed: the same in all processes.
    """

    def __init__(self, dataset: Dataset[Any], trainer: Trainer | None, seed: int):
        replicas, rank = (trainer.world_size, trainer.global_rank) if trainer else (1, 0)
        super().__init__(dataset, replicas, rank, shuffle=True, seed=seed % STRIDE)
        self.trainer = trainer

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Pairs of epoch and index; the epoch is asked for anew each time."""
        self.set_epoch(self.trainer.current_epoch if self.trainer else 0)
        return ((self.epoch, index) for index in super().__iter__())


class SeededDataset(Dataset[Any]):
    """A data set whose random transforms depend on seed, epoch and item, not on the process that loads it.

    Args:
        dataset: what is wrapped.
        seed: the same in all processes.
    """

    def __init__(self, dataset: Dataset[Any], seed: int):
        self.dataset = dataset
        self.seed = seed % STRIDE

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, item: tuple[int, int]) -> Any:
        epoch, index = item
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((self.seed + epoch) * STRIDE + index)
            return self.dataset[index]


class SeededEpochs(Callback):
    """Seeds what the model draws in training, anew for each epoch and process."""

    def __init__(self) -> None:
        self.seed = torch.initial_seed() % STRIDE

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule | None) -> None:
        """Called before the first step: loading processes that started before the epoch was restored start again."""
        if trainer.current_epoch > 0:
            iter(trainer.fit_loop._data_fetcher)  # type: ignore[arg-type]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule | None, batch: Any, batch_idx: int
    ) -> None:
        """Called by the trainer before each step."""
        if batch_idx == 0:
            torch.manual_seed((self.seed + trainer.current_epoch) * STRIDE + trainer.global_rank)
