"""Batches for training and for scoring."""

import os
import signal
from itertools import chain
from unittest.mock import Mock

import pytest
from lightning import Trainer
from torch.utils.data import Dataset, DistributedSampler

from swinv2.training.loading import make_loader


class Numbers(Dataset):
    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return index


def batches(items, trainer=None, **options):
    """Every batch of a data set of numbers."""
    given = {"batch_size": 4, "num_workers": 0, "collate": list, "seed": 0, **options}
    return list(make_loader(Numbers(items), trainer=trainer, **given))


def process(rank, processes, epoch=0):
    """What of a trainer counts here."""
    loop = Mock(restarting=False)
    return Mock(spec=Trainer, world_size=processes, global_rank=rank, current_epoch=epoch, fit_loop=loop)


def test_scored_in_order():
    """Without shuffling items come in order, the last batch smaller than the others."""
    assert batches(10) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize("items", [2, 7, 8])
def test_processes_score_each_item_once(items):
    """Whatever their number, no item is left out and none comes twice."""
    parts = [batches(items, process(rank, 2)) for rank in range(2)]
    assert sorted(item for part in parts for batch in part for item in batch) == list(range(items))


@pytest.mark.parametrize("items", [0, 1, 2])
def test_fewer_items_than_processes(items):
    """Each item comes once all the same; processes without any have a batch of nothing, so that Lightning runs them."""
    parts = [batches(items, process(rank, 3)) for rank in range(3)]
    assert parts == [[[rank]] if rank < items else [[]] for rank in range(3)]


def test_batch_of_nothing_is_left_alone():
    """Lightning replaces samplers that are not made for several processes, and would fill the batch."""
    loader = make_loader(Numbers(1), batch_size=4, num_workers=2, collate=list, seed=0, trainer=process(1, 2))
    assert isinstance(loader.sampler, DistributedSampler)


def test_training_order_depends_on_seed_and_epoch_only():
    """The same seed and epoch give the same order, another epoch or seed another one, and all items come."""
    first = batches(12, process(0, 1), shuffle=True)
    assert first == batches(12, process(0, 1), shuffle=True)
    assert sorted(chain(*first)) == list(range(12))
    assert first != batches(12, process(0, 1, epoch=1), shuffle=True)
    assert first != batches(12, process(0, 1), shuffle=True, seed=1)


@pytest.mark.parametrize(("large", "pinned", "ahead"), [(False, True, 2), (True, False, 1)])
def test_large_items(monkeypatch, large, pinned, ahead):
    """Of large items fewer are loaded ahead, and none is page-locked."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    options = {"batch_size": 1, "num_workers": 1, "collate": list, "seed": 0}
    loader = make_loader(Numbers(3), large=large, **options)
    assert (loader.pin_memory, loader.prefetch_factor) == (pinned, ahead)


@pytest.mark.parametrize(("items", "sizes"), [(10, [4, 4]), (8, [4, 4]), (3, [3])])
def test_small_last_batch_is_dropped(items, sizes):
    """A last batch that is smaller than the others is left out, unless nothing else is there."""
    assert [len(batch) for batch in batches(items, shuffle=True, drop_last=True)] == sizes


def test_items_in_few_files():
    """Items of large files are shuffled a few files at a time, and all come."""
    items = [*chain(*batches(400, shuffle=True, shards=[10] * 40))]
    assert sorted(items) == list(range(400))
    assert len({item // 10 for item in items[:80]}) == 8


def test_processes_that_load_outlive_one_sigterm():
    """When all processes are asked to end, those that load still serve the step; asked again, they end.

    They never mind Ctrl-C, which reaches all processes of a terminal.
    """
    loader = make_loader(Numbers(40), batch_size=1, num_workers=1, collate=list, seed=0)
    batches = iter(loader)
    (worker,) = batches._workers
    next(batches)
    os.kill(worker.pid, signal.SIGINT)
    os.kill(worker.pid, signal.SIGINT)
    os.kill(worker.pid, signal.SIGTERM)
    assert len([*batches]) == 39
    assert worker.is_alive()
    # The DataLoader's own handler raises, wherever the main process happens to be, when one of its processes is killed.
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        os.kill(worker.pid, signal.SIGTERM)
        worker.join(10)
    finally:
        signal.signal(signal.SIGCHLD, handler)
    assert worker.exitcode == -signal.SIGTERM
