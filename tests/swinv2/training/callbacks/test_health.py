"""Trainings whose numbers stop being finite."""

import logging
import math

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

from swinv2.training.callbacks.health import DivergedTrainingError, FiniteTraining
from swinv2.training.runs.checkpointing import LastCheckpoint
from tests.pretended_gpu import NAME

pytestmark = pytest.mark.filterwarnings("ignore:.*(smaller than the logging interval|no `val_dataloader`|is not empty)")


class Toy(LightningModule):
    """One weight, whose loss is not a number in some steps."""

    def __init__(self, bad=(), rate=0.1, buffer=False, fused=False):
        super().__init__()
        self.fused = fused
        self.weight, self.bad, self.rate = nn.Parameter(torch.ones(())), bad, rate
        self.register_buffer("mean", torch.zeros(()))
        self.buffer, self.weights = buffer, []

    def training_step(self, batch, batch_idx):
        step = self.current_epoch * 4 + batch_idx
        self.weights.append(self.weight.detach().clone())
        if self.buffer and step in self.bad:
            self.mean.fill_(math.nan)
        return (self.weight * batch.mean()).square() * (math.nan if step in self.bad else 1)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), self.rate, fused=self.fused)


@pytest.fixture
def train(tmp_path):
    """Trains for two epochs of four steps; gives the model and the callback."""

    def run(most_skipped=3, **toy):
        torch.manual_seed(0)
        device = {"accelerator": NAME, "strategy": NAME} if toy.get("fused") else {"accelerator": "cpu"}
        model, health = Toy(**toy), FiniteTraining(most_skipped)
        last = LastCheckpoint(tmp_path, "last", save_on_train_epoch_end=True, enable_version_counter=False)
        trainer = Trainer(
            max_epochs=2, **device, callbacks=[health, last], logger=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=tmp_path,
        )  # fmt: skip
        try:
            trainer.fit(model, DataLoader(torch.ones(8), batch_size=2, num_workers=0))
        finally:
            model.weights = [float(weight) for weight in model.weights]
        return model, trainer

    return run


def test_steps_that_are_not_finite_change_nothing(train, caplog):
    """The weight after such steps is that before them, and the log counts them."""
    with caplog.at_level(logging.WARNING):
        model, _ = train(bad=(2, 3))
    assert model.weights[2] == model.weights[3] == model.weights[4]
    assert model.weights[1] != model.weights[2] != model.weights[5]
    said = [record.message for record in caplog.records]
    assert ["Step 3 is left out, the 1. in a row of at most 3" in text for text in said] == [True, False]
    assert "the 2. in a row of at most 3: the loss (nan)" in said[1]


def test_steps_are_those_of_a_run_without_the_bad_ones(train):
    """The moments of the optimizer do not notice a step that is left out."""
    assert train(bad=(0, 1))[0].weights[2:4] == train()[0].weights[:2]


def test_too_many_in_a_row_stop_the_training(train, tmp_path):
    """The message names the checkpoint to go on from, which is good."""
    with pytest.raises(
        DivergedTrainingError, match=r"The loss \(nan\) or its gradients are not finite in step 8 .*and 3 be"
    ):
        train(bad=(4, 5, 6, 7))
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]["weight"].isfinite()


def test_step_that_stopped_the_training_can_be_computed_again(train, tmp_path):
    """From the batch, the weights and the random numbers that are kept, with the same result."""
    with pytest.raises(DivergedTrainingError, match=r"computed from is in .*replay_0\.pt"):
        train(bad=(5,), most_skipped=0)
    kept = torch.load(tmp_path / "replay_0.pt", weights_only=True)
    model = Toy(bad=(0,))
    model.load_state_dict(kept["state_dict"])
    assert kept["step"] == 6
    assert kept["state_dict"]["weight"] != 1
    assert torch.equal(kept["batches"][0], torch.ones(2))
    assert math.isnan(kept["loss"])
    assert len(kept["optimizer_states"][0]["state"]) == 1


def test_last_good_checkpoint_is_named(train, tmp_path):
    """What was saved before is said, or that nothing was."""
    with pytest.raises(DivergedTrainingError, match=r"The last good checkpoint is .*last.ckpt"):
        train(bad=range(4, 8))
    with pytest.raises(DivergedTrainingError, match="No checkpoint was saved before"):
        train(bad=range(4), most_skipped=0)


def test_good_steps_between_start_the_count_anew(train):
    """Single bad steps, however many, do not stop a training."""
    train(bad=(0, 2, 4, 6), most_skipped=1)


def test_weights_that_are_not_finite_are_not_saved(train, tmp_path):
    """A checkpoint holds numbers, or is not written."""
    with pytest.raises(DivergedTrainingError, match="1 tensors of the model are not finite after step 4, first weight"):
        train(rate=math.inf, most_skipped=9)
    assert not (tmp_path / "last.ckpt").exists()


def test_spoilt_statistics_stop_at_once(train):
    """What a bad batch leaves in running means cannot be undone."""
    with pytest.raises(DivergedTrainingError, match="and so is mean, which the batch has changed"):
        train(bad=(2,), buffer=True)


def test_norm_of_the_gradients_is_logged(train):
    """It is a metric of the training."""
    _, trainer = train()
    assert trainer.callback_metrics["grad_norm"] > 0


def test_bad_setting():
    """A number below 0 is an error."""
    with pytest.raises(ValueError, match="most_skipped must be 0 or more"):
        FiniteTraining(-1)


def test_batches_of_good_steps_are_not_kept(train):
    """They would take their memory while the next ones are loaded."""
    _, trainer = train()
    assert next(one for one in trainer.callbacks if isinstance(one, FiniteTraining)).step.batches == []


def test_gpu_skips_such_steps_by_itself(train, gpu, caplog):
    """Weights and moments are those of the CPU, the log says the same, and no step waits."""
    bad = (2, 3, 5)
    with caplog.at_level(logging.WARNING):
        model, trainer = train(bad=bad, fused=True)
        said = caplog.messages.copy()
        caplog.clear()
        assert model.weights == pytest.approx(train(bad=bad)[0].weights, abs=1e-6)
    assert said == caplog.messages
    assert not any("callbacks/health.py" in place for place in gpu.waits)
    assert trainer.callback_metrics["grad_norm"].isfinite()


@pytest.mark.parametrize("late", [False, True])
def test_gpu_stops_after_too_many(train, gpu, tmp_path, monkeypatch, late):
    """However late the host is told, the weights stay those before the step that stops the training."""
    monkeypatch.setattr(torch.cuda.Event, "query", lambda self: not late)
    with pytest.raises(DivergedTrainingError, match=r"The loss \(nan\) .* in step 4 and 1 before it: training stopped"):
        train(bad=(2, 3), most_skipped=1, fused=True)
    kept = torch.load(tmp_path / "replay_0.pt", weights_only=True)
    assert kept["step"] == 4
    assert float(kept["state_dict"]["weight"]) == pytest.approx(train(bad=(2, 3))[0].weights[2])


def test_gpu_stops_at_once_for_spoilt_statistics(train, gpu):
    """As on the CPU."""
    with pytest.raises(DivergedTrainingError, match=r"step 3 .*and so is mean, which the batch has changed"):
        train(bad=(2,), buffer=True, fused=True)


def test_waits_of_a_gpu_do_not_grow_with_the_steps(train, gpu):
    """All of them are outside of the steps."""
    model, _ = train(fused=True)
    assert len(model.weights) == 8
    assert not [place for place in gpu.waits if "callbacks/health.py" in place]
