"""Weights averaged over the training are those that are validated and saved."""

from copy import deepcopy

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint

from swinv2 import BackboneConfig
from swinv2.classification.data.imagenet_data import ImageNetData
from swinv2.classification.task import ClassificationTask
from swinv2.classifier import ImageClassifier
from swinv2.cli import main

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
DECAY = 0.7
EMA = {"class_path": "EMAWeightAveraging", "init_args": {"decay": DECAY}}


def saved(path):
    """A checkpoint."""
    return torch.load(path, weights_only=True)


class Witness(Callback):
    """Notes the weights after each step, before the averaging changes any, and those that are validated."""

    def __init__(self):
        self.after_steps, self.validated = [], []

    def on_train_batch_end(self, trainer, pl_module, *rest):
        """Called by the trainer after a step."""
        self.after_steps.append(deepcopy(pl_module.model.state_dict()))

    def on_validation_batch_start(self, trainer, pl_module, *rest):
        """Called by the trainer before a batch."""
        if not trainer.sanity_checking:
            self.validated.append(deepcopy(pl_module.model.state_dict()))


def averaged(states):
    """The exponential moving average, which starts with the first."""
    mean = dict(states[0])
    for state in states[1:]:
        mean = {name: DECAY * mean[name] + (1 - DECAY) * state[name] for name in mean}
    return mean


def test_averaged_weights_are_validated_and_saved(model, small, tmp_path):
    """Averages counted by hand from the weights of each step are what validation sees and best.ckpt has."""
    task, witness = ClassificationTask(model), Witness()
    best = ModelCheckpoint(tmp_path, "best", monitor="top1", mode="max", save_top_k=-1, auto_insert_metric_name=False)
    callbacks = [witness, EMAWeightAveraging(decay=DECAY), best]
    trainer = Trainer(**QUIET, max_epochs=1, default_root_dir=tmp_path, callbacks=callbacks)
    trainer.fit(task, ImageNetData(**small))
    wanted, kept = averaged(witness.after_steps), saved(tmp_path / "best.ckpt")
    assert len(witness.after_steps) == 2
    weights = [name for name in wanted if not name.endswith("_extra_state")]
    for name in weights:
        torch.testing.assert_close(witness.validated[0][name], wanted[name])
        torch.testing.assert_close(kept["state_dict"][f"model.{name}"], wanted[name])
        assert torch.equal(kept["current_model_state"][f"model.{name}"], witness.after_steps[-1][name])
    moved = [name for name in weights if not torch.equal(wanted[name], witness.after_steps[-1][name])]
    assert len(moved) > len(weights) / 2


@pytest.mark.parametrize("settings", [{"update_starting_at_step": 1}, {"update_every_n_steps": 0}])
def test_averages_that_start_late(recipe, capsys, settings):
    """Before they start, the weights that training began with would be validated and saved, which is refused."""
    late = EMA | {"init_args": settings}
    assert main(["classification", "fit", "--config", recipe(callbacks=[late])]) == 1
    assert "EMAWeightAveraging starts after the first step" in (said := capsys.readouterr().err)
    assert "Leave update_starting_at_step out" in said


def test_averages_may_be_taken_now_and_then(recipe, capsys, run):
    """Not each step need count, as long as the first one does."""
    run("fit", recipe(callbacks=[EMA | {"init_args": {"update_every_n_steps": 2}}]))
    assert "top-1 0." in capsys.readouterr().out


def test_averages_start_with_the_rows_of_the_head(model, small, tmp_path, dwarf):
    """Rows of another classifier are in the averages before the first step, too."""
    other = ImageClassifier(BackboneConfig(**dwarf), 6)
    torch.save(other.state_dict(), tmp_path / "other.pth")
    (tmp_path / "rows.txt").write_text("5\n0\n3\n2\n")
    task = ClassificationTask(model, weights=str(tmp_path / "other.pth"), head_rows=str(tmp_path / "rows.txt"))
    seen = []
    model.head.register_forward_hook(lambda head, *_: seen.append(head.weight.detach().clone()))
    trainer = Trainer(
        **QUIET, accumulate_grad_batches=2, val_check_interval=1, num_sanity_val_steps=0,
        max_epochs=1, default_root_dir=tmp_path, enable_checkpointing=False,
        callbacks=[EMAWeightAveraging(decay=DECAY)],
    )  # fmt: skip
    trainer.fit(task, ImageNetData(**small))
    assert torch.equal(seen[1], other.head.weight[[5, 0, 3, 2]])


def test_scores_of_a_checkpoint_with_averages_are_those_of_the_training(recipe, tmp_path, capsys, run):
    """`validate` loads the averaged weights, without a word about the callback that made them."""
    path = recipe(callbacks=[EMA])
    run("fit", path)
    trained_with = capsys.readouterr().out.strip().splitlines()[-1]
    run("validate", path)
    said = capsys.readouterr()
    assert trained_with in said.out
    assert "WeightAveraging" not in said.err
