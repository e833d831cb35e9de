"""Random numbers by seed, epoch and step, so that a resumed run sees what an uninterrupted one would have seen."""

import logging
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from jaxtyping import Int64
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

log = logging.getLogger(__name__)

STRIDE = 2_654_435_761  # between the seeds of epochs: a prime near 2**32 over the golden ratio, to spread them
POOL = 8  # files shuffled together: a few GB, so that the system's cache holds them while they are read


class EpochSampler(DistributedSampler[Any]):
    """Sampler of (epoch, index) in random order, shared out among the processes.

    A resumed epoch goes on with the items of its next step.

    Args:
        dataset: to draw from.
        trainer: knows epoch, step and processes; None means the first epoch of a single process, every time.
        seed: the same in all processes.
        batch_size: items a step and process.
    """

    def __init__(self, dataset: Dataset[Any], trainer: Trainer | None, seed: int, batch_size: int):
        replicas, rank = (trainer.world_size, trainer.global_rank) if trainer else (1, 0)
        super().__init__(dataset, replicas, rank, shuffle=True, seed=seed % STRIDE)
        self.trainer = trainer
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Pairs of epoch and index, from the trainer's current epoch and step on."""
        self.set_epoch(self.trainer.current_epoch if self.trainer else 0)
        done = self.batch_size * batches_done(self.trainer) if self.trainer else 0
        return ((self.epoch, index) for index in islice(self.indices(), done, None))

    def indices(self) -> Iterable[int]:
        """Indices of all items of this process in an epoch."""
        return super().__iter__()


class ShardSampler(EpochSampler):
    """Epoch sampler for items in large files: only a few files are read at a time.

    Each epoch orders the files anew and shuffles the items of every few files together. Each process takes one
    stretch of this order. Items should have been mixed before they were written to the files.

    Args:
        dataset: to draw from.
        trainer: knows epoch, step and processes; None means the first epoch of a single process, every time.
        seed: the same in all processes.
        batch_size: items a step and process.
        shards: number of items in each file, in the order of the data set.
    """

    def __init__(
        self, dataset: Dataset[Any], trainer: Trainer | None, seed: int, batch_size: int, shards: Sequence[int]
    ):
        super().__init__(dataset, trainer, seed, batch_size)
        self.shards = shards

    def indices(self) -> Iterable[int]:
        """Indices of all items of this process in an epoch."""
        order = self.order(torch.Generator().manual_seed(self.seed * STRIDE + self.epoch))
        places = torch.arange(self.num_samples) + self.rank * self.num_samples
        return order[places % len(order)].tolist()

    def order(self, generator: torch.Generator) -> Int64[Tensor, " n"]:
        """Indices of all items of an epoch; each process takes a stretch of this order."""
        shards = torch.arange(sum(self.shards)).split(list(self.shards))
        mixed = [shards[place] for place in torch.randperm(len(shards), generator=generator).tolist()]
        pools = [torch.cat(mixed[start : start + POOL]) for start in range(0, len(mixed), POOL)]
        return torch.cat([pool[torch.randperm(len(pool), generator=generator)] for pool in pools])


class SeededDataset(Dataset[Any]):
    """Data set whose random transforms depend on seed, epoch and item, not on the process that loads it.

    An item's key is (epoch, index), or the index alone where the trainer has replaced the sampler
    (`overfit_batches`); the epoch is then the first.

    Args:
        dataset: to wrap.
        seed: the same in all processes.
    """

    def __init__(self, dataset: Dataset[Any], seed: int):
        self.dataset = dataset
        self.seed = seed % STRIDE

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, item: tuple[int, int] | int) -> Any:
        epoch, index = (0, item) if isinstance(item, int) else item
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed((self.seed + epoch) * STRIDE + index)  # CPU only
            return self.dataset[index]


class SeededEpochs(Callback):
    """Seeds the model's random numbers by step and process, and resumes within an epoch."""

    def __init__(self) -> None:
        self.seed = torch.initial_seed() % STRIDE
        self.batches: int | None = None  # per epoch in the resumed checkpoint

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the number of batches of an epoch."""
        checkpoint["batches_of_epoch"] = trainer.num_training_batches

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the checkpoint's number of batches of an epoch; the trainer does not know its own yet."""
        self.batches = checkpoint.get("batches_of_epoch")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restart data workers that started before the epoch was restored, and rescale the position in the epoch."""
        if trainer.ckpt_path is None:
            return
        within = trainer.fit_loop.restarting and not trainer.is_last_batch
        if within and self.batches not in (None, trainer.num_training_batches):
            self._rescale(trainer)
        iter(trainer.fit_loop._data_fetcher)  # type: ignore[arg-type]

    def _rescale(self, trainer: Trainer) -> None:
        """Resume at the same fraction of an epoch whose number of batches has changed."""
        done: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        before, after = done.processed, done.processed * int(trainer.num_training_batches) // int(self.batches or 1)
        after -= after % trainer.accumulate_grad_batches
        done.ready, done.started, done.processed = after, after, after
        done.completed += after - before
        log.warning(
            "The checkpoint was written after %d of the %s batches of an epoch, which now has %s: going on after %d; "
            "some items may come twice.",
            *(before, self.batches, trainer.num_training_batches, after),
        )

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule | None, batch: Any, batch_idx: int
    ) -> None:
        """Seed torch by epoch, batch and process."""
        place = f"{self.seed} {trainer.current_epoch} {batch_idx} {trainer.global_rank}"
        torch.manual_seed(zlib.crc32(place.encode()))


def batches_done(trainer: Trainer) -> int:
    """Number of batches of the epoch that were trained on before the run was resumed."""
    done: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    return done.processed if trainer.fit_loop.restarting else 0
