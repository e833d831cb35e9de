"""The line that says how large a model is."""

import logging

from lightning import LightningModule, Trainer
from torch import nn

from swinv2.training.callbacks.parameter_summary import ParameterSummary


class Toy(LightningModule):
    """A model of two parts, of which one is frozen, and what has no weights."""

    def __init__(self):
        super().__init__()
        self.model = nn.Sequential()
        self.model.backbone, self.model.act, self.model.head = nn.Linear(9, 1000), nn.ReLU(), nn.Linear(99, 1)
        self.model.backbone.requires_grad_(False)


def test_one_line(caplog):
    """Parameters in all, of each part that has any, and how many are trained; no FLOPs that nobody counted."""
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    with caplog.at_level(logging.INFO):
        ParameterSummary().on_fit_start(trainer, Toy())
    said = [record.message for record in caplog.records if "Model" in record.message]
    assert said == ["Model: Sequential of 10.1 K parameters, 100 of them trained: backbone 10.0 K, head 100."]
