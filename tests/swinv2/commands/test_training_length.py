"""Steps and epochs against figures worked by hand."""

import pytest
from jsonargparse import Namespace
from lightning import LightningDataModule

from swinv2.commands.training_length import count_devices, count_steps, limited, training_length
from swinv2.training.loading import make_loader


class Data(LightningDataModule):
    """Batches of four, the last one left out or not."""

    def __init__(self, drop_last=False):
        super().__init__()
        self.train_set, self.drop_last = None, drop_last

    def train_dataloader(self):
        settings = {"collate": list, "seed": 0, "shuffle": True, "drop_last": self.drop_last}
        return make_loader(self.train_set, batch_size=4, num_workers=0, **settings)


def trainer(**settings):
    """The part of a recipe, with Lightning's defaults."""
    defaults = {"devices": 1, "num_nodes": 1, "accelerator": "auto", "accumulate_grad_batches": 1}
    return Namespace(defaults | {"limit_train_batches": None, "max_epochs": 2, "max_steps": -1} | settings)


def test_steps_of_one_device():
    """25 items are 7 batches of 4 and a last one of 1, two epochs 14 steps."""
    length = training_length(trainer(), Data(), 25)
    assert (length.batches, length.steps_per_epoch, length.total_steps, length.epochs) == (7, 7, 14, 2.0)


def test_data_that_leaves_the_last_batch_out():
    """The loader itself is asked: 25 items are then 6 batches."""
    assert training_length(trainer(), Data(drop_last=True), 25).batches == 6


def test_devices_nodes_and_accumulation():
    """25 items on 2 x 2 devices are 7 for each, 2 batches, one step of two batches: 32 items a step."""
    length = training_length(trainer(devices=2, num_nodes=2, accumulate_grad_batches=2), Data(), 25)
    assert (length.batches, length.steps_per_epoch, length.items_per_step) == (2, 1, 32)


def test_steps_may_end_in_the_middle_of_an_epoch():
    """10 steps of 7 an epoch are 1.43 epochs."""
    assert training_length(trainer(max_epochs=None, max_steps=10), Data(), 25).epochs == pytest.approx(10 / 7)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_epochs": 3}, 21),
        ({"max_epochs": 3, "max_steps": 5}, 5),
        ({"max_epochs": 1, "max_steps": 50}, 7),
        ({"max_epochs": None, "max_steps": 50}, 50),
        ({"max_epochs": -1, "max_steps": 50}, 50),
        ({"max_epochs": None}, 7000),
    ],
)
def test_what_ends_first_counts(settings, expected):
    """Epochs of seven steps; without any limit Lightning makes 1000 epochs."""
    assert count_steps(trainer(**settings), 7) == expected


def test_training_without_end_is_an_error():
    """Infinitely many epochs have no schedule."""
    with pytest.raises(ValueError, match=r"set trainer.max_epochs or trainer.max_steps"):
        count_steps(trainer(max_epochs=-1), 7)


def test_no_batch_is_an_error():
    """An empty data set is nothing to plan with."""
    with pytest.raises(ValueError, match="0 items make no batch of 4"):
        training_length(trainer(), Data(), 0)


@pytest.mark.parametrize(
    ("devices", "expected"), [(8, 8), ("8", 8), ("0,1,2", 3), ("0,", 1), ([0, 2], 2), ("auto", 1), (-1, 1)]
)
def test_devices_as_lightning_writes_them(devices, expected, monkeypatch):
    """Numbers, lists, and whatever this machine has, of which at least one."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert count_devices(trainer(devices=devices)) == expected


@pytest.mark.parametrize(("limit", "expected"), [(None, 10), (3, 3), (30, 10), (0.5, 5), (1.0, 10)])
def test_limited_batches(limit, expected):
    """A number or a share of ten batches."""
    assert limited(10, limit) == expected
