"""Settings of the trainer that make no run."""

import pytest
from jsonargparse import Namespace

from swinv2.commands.recipe_files import WrongRecipeError
from swinv2.commands.trainer_settings import check_numbers, check_settings

USUAL = {
    "accumulate_grad_batches": 1, "check_val_every_n_epoch": 1, "num_nodes": 1, "gradient_clip_val": None,
    "num_sanity_val_steps": None, "max_epochs": None, "max_steps": -1, "limit_train_batches": None,
    "limit_val_batches": None, "limit_predict_batches": None, "val_check_interval": None, "devices": "auto",
}  # fmt: skip


def check(command, seed=0, **settings):
    """Check usual settings, of which some are others."""
    check_settings(Namespace(trainer=Namespace(USUAL | settings), seed_everything=seed), command)


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"max_epochs": -1}, {"gradient_clip_val": 0}, {"check_val_every_n_epoch": None}, {"limit_val_batches": 0},
        {"devices": "0,1"}, {"devices": "-1"}, {"devices": [1]}, {"seed": True}, {"seed": False}, {"seed": 2**32 - 1},
    ],
)  # fmt: skip
def test_usual_settings_pass(settings):
    """Lightning's defaults, what stands for no limit, and a training without validation."""
    check("fit", **settings)


@pytest.mark.parametrize(
    ("command", "settings", "reason"),
    [
        ("fit", {"accumulate_grad_batches": 0}, "trainer.accumulate_grad_batches is 0; it must be 1 or more"),
        ("fit", {"check_val_every_n_epoch": 0}, "trainer.check_val_every_n_epoch is 0; it must be 1 or more"),
        ("fit", {"gradient_clip_val": -1.0}, "trainer.gradient_clip_val is -1.0; it must be 0 or more"),
        ("fit", {"max_epochs": 0}, "trainer.max_epochs is 0, so that fit has nothing to do"),
        ("fit", {"max_steps": 0}, "trainer.max_steps is 0, so that fit"),
        ("fit", {"limit_train_batches": 0.0}, "trainer.limit_train_batches is 0, so that fit"),
        ("fit", {"val_check_interval": 0}, "trainer.val_check_interval is 0; give a number of batches"),
        ("validate", {"limit_val_batches": 0}, "trainer.limit_val_batches is 0, so that validate"),
        ("predict", {"limit_predict_batches": 0}, "trainer.limit_predict_batches is 0, so that predict"),
        ("fit", {"devices": "two"}, "trainer.devices is 'two'; it must be auto"),
        ("fit", {"seed": -1}, "seed_everything is -1; it must be a number from 0 to 4294967295"),
    ],
)
def test_settings_that_make_no_run_are_named(command, settings, reason):
    """Some of them Lightning takes, and divides by, or does nothing in silence."""
    with pytest.raises(WrongRecipeError, match=reason):
        check(command, **settings)


@pytest.mark.parametrize(("key", "value"), [("depths", [2, 2**31]), ("num_workers", 2**31), ("long_edge", 1 << 17)])
def test_numbers_that_take_all_memory_or_processes_are_named(key, value):
    """Before anything is built."""
    with pytest.raises(WrongRecipeError, match=rf"data.part.{key} is \d+; it can be [\d,]+ at most"):
        check_numbers(Namespace(data=Namespace(part=Namespace({key: value}))))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**63, [1.0, float("nan")]])
def test_numbers_that_cannot_be_meant_are_named(value):
    """Wherever they are."""
    check_numbers(Namespace(model=Namespace(lr=1e-4, name="nan", betas=[0.9, 0.999], on=True, off=None)))
    with pytest.raises(WrongRecipeError, match=r"model.optimizer.lr is .*; it must be a finite number below 2\*\*63"):
        check_numbers(Namespace(model=Namespace(optimizer=Namespace(lr=value))))
