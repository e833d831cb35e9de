"""Batches for Lightning: the same order whether a run is resumed or not, and no item twice where it is scored."""

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import torch
from lightning import Trainer
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import DataLoader, Dataset, Sampler, SequentialSampler

from .samplers import EpochSampler, SeededDataset, ShardSampler


def make_loader(
    dataset: Dataset[Any],
    *,
    batch_size: int,
    num_workers: int,
    collate: Callable[[list[Any]], Any],
    seed: int,
    trainer: Trainer | None = None,
    shuffle: bool = False,
    drop_last: bool = False,
    large: bool = False,
    shards: Sequence[int] = (),
) -> DataLoader[Any]:
    """A loader of a data set.

    Args:
        dataset: what is loaded.
        batch_size: items a step and device.
        num_workers: processes that load, at most one a core.
        collate: makes a batch of a list of items.
        seed: of order and random transforms; the same in all processes.
        trainer: knows epoch, step and processes; without one it is always the first epoch of a single process.
        shuffle: for training: each epoch in another order. Otherwise every item comes once, in some process; one for
            which there are too few has a single batch, of nothing.
        drop_last: leave a last batch that is smaller than the others out, unless it is the only one.
        large: items may take much memory: each process loads one batch ahead instead of two, and none is page-locked.
        shards: number of items in each file, in order, if the items are in a few large ones: then shuffling keeps to
            some of these at a time.
    """
    sampler: Sampler[Any] = SequentialSampler(dataset)  # type: ignore[arg-type]
    if shuffle:
        epochs = dataset, trainer, seed, batch_size
        sampler = ShardSampler(*epochs, shards) if shards else EpochSampler(*epochs)
    elif trainer is not None and trainer.world_size > 1:
        if trainer.global_rank >= len(dataset):  # type: ignore[arg-type]
            return load_nothing(collate)
        sampler = UnrepeatedDistributedSampler(dataset, trainer.world_size, trainer.global_rank, shuffle=False)
    workers = min(num_workers, cores())
    if workers:
        cv2.setNumThreads(1)  # a forked worker has none of its threads, but would wait for them for ever
    return DataLoader(
        SeededDataset(dataset, seed) if shuffle else dataset,
        batch_size=batch_size,
        sampler=sampler,
        drop_last=drop_last and batch_size <= len(sampler),  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available() and not large,
        prefetch_factor=1 if large and workers else None,  # PyTorch's own is 2
        persistent_workers=workers > 0,
        worker_init_fn=outlive_signals,
    )


def outlive_signals(worker: int) -> None:
    """Let a loading process stay when all processes of a run are asked to end, so that the step can be finished.

    After a second SIGTERM it ends, so that nobody waits for it in vain. Ctrl-C, which reaches all processes of a
    terminal, is the business of the training process alone.

    Args:
        worker: its number.
    """
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def load_nothing(collate: Callable[[list[Any]], Any]) -> DataLoader[Any]:
    """A loader of one batch without items; of a process without batches Lightning would skip what all do together.

    Args:
        collate: makes a batch of a list of items.
    """
    alone = UnrepeatedDistributedSampler([None], 1, 0, shuffle=False)  # of a kind that Lightning does not replace
    return DataLoader([None], sampler=alone, collate_fn=lambda _: collate([]))  # type: ignore[arg-type]


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
