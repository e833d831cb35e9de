"""Data loaders for Lightning: a resumed run sees the same order, and in evaluation no item comes twice."""

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
    """Loader of a data set.

    Args:
        dataset: to load.
        batch_size: items a step and device.
        num_workers: processes that load, at most one a core.
        collate: makes a batch of a list of items.
        seed: of order and random transforms; the same in all processes.
        trainer: knows epoch, step and processes; None means the first epoch of a single process, every time.
        shuffle: for training: each epoch in another order. Otherwise every item comes once, in one of the processes; a
            process that gets no item has a single empty batch.
        drop_last: leave out a last batch that is smaller than the others, unless it is the only one.
        large: items may take much memory: each worker loads one batch ahead instead of two, and none is page-locked.
        shards: number of items in each file, in order, if the items lie in a few large files: shuffling then reads from
            a few files at a time.
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
        cv2.setNumThreads(1)  # a forked worker lacks OpenCV's threads and would wait for them for ever
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
    """Keep a loading process alive at the first SIGTERM, so that the training process can finish its step.

    A second SIGTERM ends it. Ctrl-C, which a terminal sends to all processes, is ignored: the training process alone
    answers it.

    Args:
        worker: number of the process.
    """
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def load_nothing(collate: Callable[[list[Any]], Any]) -> DataLoader[Any]:
    """Loader of a single empty batch; with no batch at all, Lightning would skip the collectives in this process.

    Args:
        collate: makes a batch of a list of items.
    """
    alone = UnrepeatedDistributedSampler([None], 1, 0, shuffle=False)  # a sampler that Lightning does not replace
    return DataLoader([None], sampler=alone, collate_fn=lambda _: collate([]))  # type: ignore[arg-type]


def cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
