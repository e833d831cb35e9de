"""Progress in a log: what a line says, when it comes, and who prints it."""

import math
import re

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

from swinv2.training.callbacks import progress_lines
from swinv2.training.callbacks.progress_lines import Pace, ProgressLines, duration

NUMBERS = DataLoader(torch.arange(12.0).reshape(6, 2), batch_size=2)
QUIET = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_model_summary": False}


class Toy(LightningModule):
    """One layer with two losses and two learning rates."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def training_step(self, batch):
        self.log_dict({"loss": 3.0, "train/box": 1.0, "train/mask": 2.0})
        return self.layer(batch).square().mean()

    def validation_step(self, batch):
        return self.layer(batch)

    predict_step = validation_step

    def configure_optimizers(self):
        groups = [{"params": [self.layer.weight], "lr": 0.002}, {"params": [self.layer.bias], "lr": 0.01}]
        return torch.optim.SGD(groups)


@pytest.fixture
def lines(capsys, monkeypatch):
    """What a command of the trainer prints while a second goes by whenever the clock is read."""
    now = iter(range(1000))
    monkeypatch.setattr(progress_lines, "perf_counter", lambda: float(next(now)))

    def of(command, interval=0.0, **options):
        trainer = Trainer(callbacks=[ProgressLines(interval)], **{"max_epochs": 2} | QUIET | options)
        getattr(trainer, command)(Toy(), *([NUMBERS] if command != "fit" else [NUMBERS, NUMBERS]))
        return capsys.readouterr().out.splitlines()

    return of


def test_a_training(lines):
    """Step of all, losses, the highest rate and the time left, which is known from the second step on."""
    found = [line for line in lines("fit", num_sanity_val_steps=1) if line.startswith("step")]
    assert found[0] == "step 1 of 6, loss 3 (box 1, mask 2), lr 0.01"
    assert all(
        re.fullmatch(r"step \d of 6, loss 3 \(box 1, mask 2\), lr 0\.01, \d+ s left", line) for line in found[1:5]
    )
    assert found[-1] == "step 6 of 6, loss 3 (box 1, mask 2), lr 0.01"


def test_a_training_that_has_no_end(lines):
    """There is no number of all steps, and no time that is left."""
    found = lines("fit", limit_val_batches=0, max_epochs=-1, max_time="00:00:00:01", interval=1e6)
    assert re.fullmatch(r"step [\d,]+, loss 3 \(box 1, mask 2\), lr 0\.01", found[-1])


def test_a_validation_within_a_training(lines):
    """Its batches are told as well, those of the trial before it not."""
    found = [line for line in lines("fit", num_sanity_val_steps=2) if line.startswith("validation")]
    assert found[0] == "validation: batch 1 of 3"
    assert len(found) == 6


@pytest.mark.parametrize(("command", "name"), [("validate", "validation"), ("predict", "prediction")])
def test_batches_of_other_commands(lines, command, name):
    """The batch of all, and the time left."""
    found = lines(command)
    assert found[0] == f"{name}: batch 1 of 3"
    assert re.fullmatch(rf"{name}: batch 2 of 3, \d+ s left", found[1])
    assert found[2] == f"{name}: batch 3 of 3"


@pytest.mark.parametrize("command", ["fit", "validate"])
def test_lines_are_rare(lines, command):
    """The first one comes at once, the next after the interval, and one at the end of a training."""
    assert len(lines(command, interval=1e6)) == (2 if command == "fit" else 1)


def test_other_processes_print_nothing(capsys):
    """A trainer switches off what is not in the first process."""
    progress = ProgressLines()
    trainer = Trainer(**QUIET)
    trainer.strategy._is_global_zero = False
    progress.disable()
    progress.setup(trainer, Toy(), "fit")
    progress._say("line")
    assert capsys.readouterr().out == ""
    progress.enable()
    progress._say("line")
    assert capsys.readouterr().out == "line\n"


def test_the_pace_begins_at_the_first_step(monkeypatch):
    """Which takes longer than others; a training that goes on counts its own steps."""
    now = iter([100.0, 104.0, 110.0])
    monkeypatch.setattr(progress_lines, "perf_counter", lambda: next(now))
    pace = Pace()
    assert [pace.left(51, 101), pace.left(53, 101), pace.left(56, math.inf)] == ["", ", 2 min left", ""]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59.5, "60 s"), (90, "2 min"), (3599, "1 h 0 min"), (5400, "1 h 30 min"), (200_000, "2 d 8 h")],
)
def test_duration(seconds, text):
    """Two units at most."""
    assert duration(seconds) == text
