"""Randomness that depends on seed and epoch only."""

from itertools import chain
from unittest.mock import Mock

import pytest
import torch
from lightning import Trainer
from torch.utils.data import DataLoader, Dataset, TensorDataset

from swinv2.training.epochs import POOL, EpochSampler, SeededDataset, SeededEpochs, ShardSampler


class Numbers(Dataset):
    """Ten items, each its own number and a random one."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return index, torch.rand(()).item()


@pytest.fixture
def trainer():
    """A trainer whose epoch can be set."""
    return Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)


def epoch_of(trainer, epoch, workers=0, seed=0):
    """All items of an epoch."""
    trainer.fit_loop.epoch_progress.current.completed = epoch
    data = Numbers()
    context = {"multiprocessing_context": "fork"} if workers else {}
    loader = DataLoader(
        SeededDataset(data, seed), None, sampler=EpochSampler(data, trainer, seed), num_workers=workers, **context
    )
    return [(int(index), float(value)) for index, value in loader]


def test_an_epoch_is_the_same_whenever_it_is_run(trainer):
    """Order and random values belong to the epoch, whatever was drawn before."""
    first = epoch_of(trainer, 3)
    torch.rand(5)
    assert epoch_of(trainer, 3) == first
    assert sorted(index for index, _ in first) == list(range(10))


def test_epochs_and_items_differ(trainer):
    """Other epochs have another order and other random values, and so have items."""
    one, other = dict(epoch_of(trainer, 0)), dict(epoch_of(trainer, 1))
    assert list(one) != list(other)
    assert len({*one.values(), *other.values()}) == 20


def test_processes_that_load_change_nothing(trainer):
    """With two workers an item is what it is without."""
    assert epoch_of(trainer, 2, workers=2) == epoch_of(trainer, 2)


def test_seeds_differ(trainer):
    """Another seed is another order."""
    assert epoch_of(trainer, 0, seed=1) != epoch_of(trainer, 0, seed=2)


def test_loading_leaves_the_models_randomness_alone(trainer):
    """Drawing an item does not change what is drawn next outside."""
    data = SeededDataset(Numbers(), 0)
    state = torch.get_rng_state()
    _ = data[0, 4]
    assert torch.equal(torch.get_rng_state(), state)


def test_the_first_step_of_an_epoch_is_seeded(trainer):
    """What a model draws in an epoch depends on the epoch, not on what came before."""
    callback, drawn = SeededEpochs(), []
    for epoch, step in [(0, 0), (1, 0), (0, 0), (0, 1)]:
        trainer.fit_loop.epoch_progress.current.completed = epoch
        callback.on_train_batch_start(trainer, None, None, step)
        drawn.append(torch.rand(()).item())
    assert drawn[0] == drawn[2]
    assert len(set(drawn)) == 3


def shard_order(rank=0, processes=1, epoch=0, shards=(5, 0, 7, 3)):
    """The items that a process gets in an epoch."""
    trainer = Mock(spec=Trainer, world_size=processes, global_rank=rank, current_epoch=epoch)
    data = TensorDataset(torch.arange(sum(shards)))
    return [index for _, index in ShardSampler(data, trainer, 0, shards)]


def test_shards_give_each_item_once():
    """An epoch has all items of all files, in an order of its own."""
    assert sorted(shard_order()) == list(range(15))
    assert shard_order(epoch=2) == shard_order(epoch=2) != shard_order(epoch=1)


@pytest.mark.parametrize(("items", "processes"), [(15, 2), (15, 3), (2, 4)])
def test_processes_share_shards(items, processes):
    """Processes get as many items each, stretches of one order, and first ones again where they do not come out."""
    parts = [shard_order(rank, processes, shards=(items,)) for rank in range(processes)]
    together = [*chain.from_iterable(parts)]
    assert {len(part) for part in parts} == {-(-items // processes)}
    assert sorted(together[:items]) == list(range(items))
    assert together[items:] == (2 * together[:items])[: len(together) - items]


def test_few_shards_at_a_time():
    """Items are shuffled with those of few other files, so that only these are read from at a time."""
    files = [index // 10 for index in shard_order(shards=[10] * 3 * POOL)]
    parts = [files[start : start + 10 * POOL] for start in range(0, len(files), 10 * POOL)]
    assert [len({*part}) for part in parts] == [POOL] * 3
    assert len({*files[:10]}) > 2
