"""Randomness that depends on seed, epoch and step only."""

from itertools import chain, pairwise
from unittest.mock import Mock

import pytest
import torch
from lightning import Trainer
from torch.utils.data import DataLoader, Dataset, TensorDataset

from swinv2.training.samplers import POOL, STRIDE, EpochSampler, SeededDataset, SeededEpochs, ShardSampler


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


def epoch_of(trainer, epoch, workers=0, seed=0, batches=0):
    """All items of an epoch, or those after some batches of three."""
    trainer.fit_loop.epoch_progress.current.completed = epoch
    trainer.fit_loop.epoch_progress.current.ready = epoch + 1
    trainer.fit_loop.restarting = batches > 0
    trainer.fit_loop.epoch_loop.batch_progress.current.processed = batches
    data = Numbers()
    context = {"multiprocessing_context": "fork"} if workers else {}
    loader = DataLoader(
        SeededDataset(data, seed), None, sampler=EpochSampler(data, trainer, seed, 3), num_workers=workers, **context
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


@pytest.mark.parametrize(
    ("items", "epochs"), [(1_281_167, 800), (14_197_122, 90), (70_000_000, 30)], ids=["1K", "22K", "22K-ext"]
)
def test_epochs_of_large_data_have_seeds_of_their_own(items, epochs):
    """No item of ImageNet has the seed of another in any epoch of a recipe, though torch takes 32 bits of a seed."""
    seeds = sorted(STRIDE * epoch % 2**32 for epoch in range(epochs))
    gaps = [after - before for before, after in pairwise([*seeds, seeds[0] + 2**32])]
    assert min(gaps) >= items


def test_torch_takes_the_lower_half_of_a_seed():
    """Seeds that differ by a multiple of 2**32 are the same."""
    one, other = (torch.rand(3, generator=torch.Generator().manual_seed(seed)) for seed in (7, 7 + 2**32))
    assert torch.equal(one, other)


def test_seeds_differ(trainer):
    """Another seed is another order."""
    assert epoch_of(trainer, 0, seed=1) != epoch_of(trainer, 0, seed=2)


def test_loading_leaves_the_models_randomness_alone(trainer):
    """Drawing an item does not change what is drawn next outside."""
    data = SeededDataset(Numbers(), 0)
    state = torch.get_rng_state()
    _ = data[0, 4]
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_epoch_goes_on_with_the_next_batch(trainer, workers):
    """Items of batches that are done are left out, those that follow are what they would have been."""
    assert epoch_of(trainer, 2, workers, batches=2) == epoch_of(trainer, 2)[6:]


def test_each_step_is_seeded(trainer):
    """What a model draws depends on epoch, step and process, not on what came before."""
    callback, drawn = SeededEpochs(), {}
    places = [(epoch, step, rank) for epoch in range(2) for step in range(2) for rank in range(2)]
    for place in [*places, *reversed(places)]:
        process = Mock(spec=Trainer, current_epoch=place[0], global_rank=place[2])
        callback.on_train_batch_start(process, None, None, place[1])
        drawn.setdefault(place, set()).add(torch.rand(()).item())
    assert [len(values) for values in drawn.values()] == [1] * len(places)
    assert len(set.union(*drawn.values())) == len(places)


def shard_order(rank=0, processes=1, epoch=0, shards=(5, 0, 7, 3), batches=0):
    """The items that a process gets in an epoch, or those after some batches of two."""
    trainer = Mock(spec=Trainer, world_size=processes, global_rank=rank, current_epoch=epoch, fit_loop=Mock())
    trainer.fit_loop.restarting = batches > 0
    trainer.fit_loop.epoch_loop.batch_progress.current.processed = batches
    data = TensorDataset(torch.arange(sum(shards)))
    return [index for _, index in ShardSampler(data, trainer, 0, 2, shards)]


def test_shards_give_each_item_once():
    """An epoch has all items of all files, in an order of its own."""
    assert sorted(shard_order()) == list(range(15))
    assert shard_order(epoch=2) == shard_order(epoch=2) != shard_order(epoch=1)


def test_resumed_epoch_of_shards():
    """Each process goes on with its next batch."""
    for rank in range(2):
        assert shard_order(rank, 2, batches=3) == shard_order(rank, 2)[6:]


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


def test_items_without_an_epoch_are_those_of_the_first():
    """So `overfit_batches` works, for which Lightning has a sampler of its own."""
    data = SeededDataset(Numbers(), 0)
    assert data[3] == data[0, 3]
