"""Randomness that depends on seed and epoch only, so that a resumed run sees what the uninterrupted one would have."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Int64
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

STRIDE = 1_000_003  # between the seeds of two epochs: a prime larger than most data sets
POOL = 8  # files whose items are shuffled together: a few GB that the system's cache keeps while they are read


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


class ShardSampler(EpochSampler):
    """Likewise for items in large files, of which only a few are read from at a time.

    Each epoch has the files in another order, and shuffles all items of each few of them. Each process takes one
    stretch of this order. As ever with such files, their items should have been mixed when they were written.

    Args:
        dataset: what is drawn from.
        trainer: knows the epoch and the processes; without one it is always the first epoch of a single process.
        seed: the same in all processes.
        shards: number of items in each file, in the order of the data set.
    """

    def __init__(self, dataset: Dataset[Any], trainer: Trainer | None, seed: int, shards: Sequence[int]):
        super().__init__(dataset, trainer, seed)
        self.shards = shards

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Pairs of epoch and index; the epoch is asked for anew each time."""
        self.set_epoch(self.trainer.current_epoch if self.trainer else 0)
        order = self.order(torch.Generator().manual_seed(self.seed * STRIDE + self.epoch))
        places = torch.arange(self.num_samples) + self.rank * self.num_samples
        return ((self.epoch, index) for index in order[places % len(order)].tolist())

    def order(self, generator: torch.Generator) -> Int64[Tensor, " n"]:
        """All items of an epoch, in the order in which all processes see them together."""
        shards = torch.arange(sum(self.shards)).split(list(self.shards))
        mixed = [shards[place] for place in torch.randperm(len(shards), generator=generator).tolist()]
        pools = [torch.cat(mixed[start : start + POOL]) for start in range(0, len(mixed), POOL)]
        return torch.cat([pool[torch.randperm(len(pool), generator=generator)] for pool in pools])


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
            torch.default_generator.manual_seed((self.seed + epoch) * STRIDE + index)  # CPU only
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
