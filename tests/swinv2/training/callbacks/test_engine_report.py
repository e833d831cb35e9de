"""What is said of the engines of a run."""

import logging
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from lightning import LightningModule, Trainer

import swinv2
from swinv2.engines.base import FastBlock
from swinv2.training.callbacks.engine_report import EngineReport


class Task(LightningModule):
    """A backbone."""

    def __init__(self):
        super().__init__()
        self.backbone = swinv2.create_backbone(
            "swinv2_tiny_window8_256", embed_dim=8, depths=[2], num_heads=[2], out_indices=[0]
        )

    def forward(self, images):
        """Features."""
        return self.backbone(images)


def trainer_of(command):
    """A trainer that runs a command."""
    return Mock(spec=Trainer, state=SimpleNamespace(fn=command))


@pytest.mark.parametrize(
    ("command", "start", "end", "prepared"),
    [
        ("fit", "on_train_start", "on_train_batch_end", ""),
        ("validate", "on_validation_start", "on_validation_batch_end", ", prepared"),
        ("predict", "on_predict_start", "on_predict_batch_end", ", prepared"),
    ],
)
def test_engines_are_said_once_and_prepared_where_weights_stay(command, start, end, prepared, caplog):
    """After the first batch that calls a block; the validation of a training prepares nothing."""
    task, report, trainer = Task(), EngineReport(), trainer_of(command)
    with caplog.at_level(logging.INFO), torch.set_grad_enabled(command == "fit"):
        getattr(report, start)(trainer, task)
        getattr(report, end)()  # of unreadable files
        for _ in range(2):
            task(torch.zeros(1, 3, 32, 32))
            getattr(report, end)()
    assert [r.message for r in caplog.records if "Backbone" in r.message] == [f"Backbone: 2 blocks by cpu{prepared}."]
    assert not any(block._forward_pre_hooks for block in task.modules() if isinstance(block, FastBlock))


def test_validation_within_a_training_prepares_nothing():
    """Weights change after it."""
    task = Task()
    EngineReport().on_validation_start(trainer_of("fit"), task)
    assert task.training
