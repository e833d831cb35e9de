"""What callbacks wait for, and what a run gives."""

from pathlib import Path

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from swinv2.cli import main
from swinv2.training.checks import check_monitors

RECIPE = """
model:
  model: {backbone: {name: swinv2_tiny_window8_256, embed_dim: 8, depths: [1, 1], num_heads: [1, 1], window_size: 4}}
data: {root: data/classification, batch_size: 4, num_workers: 0, size: 32, crop: false}
trainer:
  max_epochs: 1
  accelerator: cpu
  enable_progress_bar: false
  callbacks: [{class_path: EarlyStopping, init_args: {monitor: train/los}}]
"""


def trainer(callback, given=(), limit=1.0):
    """A trainer with a callback, and with some metrics after its first step."""
    made = Trainer(accelerator="cpu", logger=False, callbacks=[callback, ModelCheckpoint()], limit_val_batches=limit)
    made.callback_metrics.update(dict.fromkeys(given, torch.zeros(())))
    return made


@pytest.mark.parametrize("given", [(), ("loss", "train/loss_box")])
@pytest.mark.parametrize("name", ["loss", "grad_norm", "train/loss_box", "top1"])
def test_metrics_of_a_run_can_be_watched(name, given):
    """Those of the validation, of every training, and of this one as far as they are known."""
    check_monitors(trainer(EarlyStopping(name), given), ["top1"])


def test_epochs_choose_checkpoints_only():
    """Lightning knows epoch and step there, and nowhere else."""
    check_monitors(trainer(ModelCheckpoint(monitor="epoch")), ["top1"])
    with pytest.raises(ValueError, match="EarlyStopping watches 'epoch', which never comes"):
        check_monitors(trainer(EarlyStopping("epoch")), ["top1"])


@pytest.mark.parametrize(
    ("name", "given", "limit"),
    [("val_loss", (), 1.0), ("lr-AdamW", (), 1.0), ("train/loss", ("train/loss_box",), 1.0), ("top1", (), 0)],
)
def test_metrics_that_never_come_are_named(name, given, limit):
    """Learning rates are in the log alone; those of the training are known after its first step."""
    with pytest.raises(ValueError, match=f"watches '{name}', which never comes in this run; its metrics are .*loss"):
        check_monitors(trainer(EarlyStopping(name), given, limit), ["top1"])


def test_a_metric_of_the_training_that_does_not_come_ends_it_after_a_step(tmp_path, monkeypatch, capsys):
    """And not at the end of the epoch, where Lightning looks for it."""
    monkeypatch.chdir(tmp_path)
    assert main(["shapes", "data", "--tasks", "classification", "--train", "8", "--val", "4", "--size", "32"]) == 0
    Path("recipe.yaml").write_text(RECIPE)
    assert main(["classification", "fit", "--config", "recipe.yaml"]) == 1
    assert "EarlyStopping watches 'train/los', which never comes in this run; its" in capsys.readouterr().err
