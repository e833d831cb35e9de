"""Fit, resume, validate and predict a toy through the command line."""

import signal
import sys

import pytest
import torch
import yaml
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from swinv2.commands.task import run
from swinv2.training.schedules import OptimizerConfig, training_steps


class Head(nn.Module):
    def __init__(self, width: int = 2):
        super().__init__()
        self.inner, self.outer = nn.Linear(3, width), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x).relu())


class Toy(LightningModule):
    """A network whose score is high after the epoch `best`; the steps of an epoch may be stopped by an accident."""

    def __init__(self, head: Head, optimizer: OptimizerConfig = OptimizerConfig(), best: int = 9, accident: str = ""):
        super().__init__()
        self.head, self.optimizer, self.best, self.accident = head, optimizer, best, accident
        self.register_buffer("epoch", torch.tensor(-1))

    def training_step(self, batch):
        if self.current_epoch == 2 and self.accident:
            kinds = {"bug": RuntimeError, "ctrl-c": KeyboardInterrupt, "memory": torch.OutOfMemoryError}
            raise kinds[self.accident]("accident")
        self.epoch.fill_(self.current_epoch)
        return self.head(batch).square().mean()

    def validation_step(self, batch):
        self.log("score", float(self.current_epoch == self.best))
        print(f"weights of epoch {self.epoch}")

    def predict_step(self, batch):
        print(f"predicting by epoch {self.epoch}")

    def configure_optimizers(self):
        return self.optimizer.configure(self, lambda: training_steps(self.trainer))


class Numbers(LightningDataModule):
    def __init__(self, batch_size: int = 2):
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self):
        return DataLoader(torch.arange(24.0).reshape(8, 3) / 24, batch_size=self.batch_size)

    val_dataloader = predict_dataloader = train_dataloader


RECIPE = f"""
model:
  head:
    class_path: {__name__}.Head
    init_args: {{width: 4}}
  optimizer: {{lr: 0.01, warmup_steps: 3, milestones: [2]}}
trainer: {{max_epochs: 4, accelerator: cpu, log_every_n_steps: 1, enable_progress_bar: false}}
"""


@pytest.fixture
def swinv2_toy(tmp_path, monkeypatch):
    """The command `swinv2 toy COMMAND --config recipe.yaml …`, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return lambda command, *args: run(
        Toy,
        Numbers,
        [command, "--allow", __name__, "--config", "recipe.yaml", *args],
        "toy",
        "score",
        lambda config: None,
    )


@pytest.fixture
def folder(tmp_path):
    """Where the recipe's runs are kept."""
    return tmp_path / "runs/toy/recipe"


def weights(path):
    """The state dict in a checkpoint."""
    return torch.load(path, weights_only=True)["state_dict"]


def test_fit_fills_the_folder_of_the_recipe(swinv2_toy, folder):
    """Logs for TensorBoard and as CSV, the resolved recipe, the best and the last checkpoint."""
    swinv2_toy("fit")
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    names = {path.name.split(".")[0] for path in (folder / "version_0").iterdir()}
    assert names == {"config", "metrics", "events", "hparams"}
    header, *rows = (folder / "version_0/metrics.csv").read_text().splitlines()
    assert {"score", "step", "lr-AdamW/lr*1 decay"} <= set(header.split(","))
    assert len(rows) >= 16
    config = yaml.safe_load((folder / "version_0/config.yaml").read_text())
    assert config["model"]["optimizer"]["milestones"] == [2.0]
    assert config["seed_everything"] == 0


def test_best_and_last_are_different_checkpoints(swinv2_toy, folder):
    """The best is that of the highest score, the last goes on although the score falls."""
    swinv2_toy("fit", "--model.best", "1")
    assert weights(folder / "checkpoints/best.ckpt")["epoch"] == 1
    assert weights(folder / "checkpoints/last.ckpt")["epoch"] == 3


def test_resumed_run_equals_uninterrupted_run(swinv2_toy, folder):
    """A run that breaks in its third epoch and goes on from its last checkpoint ends with the same weights."""
    swinv2_toy("fit", "--trainer.default_root_dir", "whole")
    with pytest.raises(RuntimeError, match="accident"):
        swinv2_toy("fit", "--model.accident", "bug")
    assert weights(folder / "checkpoints/last.ckpt")["epoch"] == 1
    swinv2_toy("fit", "--ckpt_path", "last")
    whole, resumed = weights("whole/checkpoints/last.ckpt"), weights(folder / "checkpoints/last.ckpt")
    assert whole["epoch"] == resumed["epoch"] == 3
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=0)
    assert (folder / "version_0/metrics.csv").exists()
    assert (folder / "version_1/metrics.csv").exists()


def test_last_without_a_checkpoint_starts(swinv2_toy, folder):
    """A job script may always say `--ckpt_path last`, also the first time."""
    swinv2_toy("fit", "--ckpt_path", "last", "--trainer.max_epochs", "1")
    assert weights(folder / "checkpoints/last.ckpt")["epoch"] == 0


def test_a_new_run_keeps_the_checkpoints_of_the_old(swinv2_toy, folder, caplog):
    """Fit without a checkpoint starts anew and moves earlier checkpoints out of the way."""
    swinv2_toy("fit")
    swinv2_toy("fit", "--trainer.max_epochs", "1")
    assert weights(folder / "checkpoints/last.ckpt")["epoch"] == 0
    assert weights(folder / "checkpoints.1/last.ckpt")["epoch"] == 3
    assert "the checkpoints of the earlier run are now in" in caplog.text


@pytest.mark.parametrize(("args", "epoch"), [([], 1), (["--ckpt_path", "best"], 1), (["--ckpt_path", "last"], 3)])
@pytest.mark.parametrize(("command", "text"), [("validate", "weights of"), ("predict", "predicting by")])
def test_checkpoint_of_validate_and_predict(swinv2_toy, folder, capsys, command, text, args, epoch):
    """They take the best checkpoint, or that which is asked for, and leave the logs of the training alone."""
    swinv2_toy("fit", "--model.best", "1")
    capsys.readouterr()
    swinv2_toy(command, *args)
    assert f"{text} epoch {epoch}\n" in capsys.readouterr().out
    assert [path.name for path in folder.glob("version_*")] == ["version_0"]


def test_checkpoint_null_takes_the_model_as_built(swinv2_toy, capsys):
    """An untrained model can be validated if that is what is asked for."""
    swinv2_toy("validate", "--ckpt_path", "null")
    assert "weights of epoch -1" in capsys.readouterr().out


def test_validate_before_fit(swinv2_toy):
    """Where no checkpoint is, the way to get one is said."""
    with pytest.raises(FileNotFoundError, match=r"no checkpoint runs/toy/recipe/checkpoints/best.ckpt; run fit first"):
        swinv2_toy("validate")


def test_truncated_checkpoint(swinv2_toy, folder):
    """Half a file is not loaded."""
    swinv2_toy("fit", "--trainer.max_epochs", "1")
    path = folder / "checkpoints/last.ckpt"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"last.ckpt is not a complete checkpoint"):
        swinv2_toy("fit", "--ckpt_path", "last")


def test_command_line_overrules_the_checkpoint(swinv2_toy, folder):
    """Going on from a checkpoint takes its state, not its settings."""
    swinv2_toy("fit", "--trainer.max_epochs", "1")
    swinv2_toy("fit", "--ckpt_path", "last", "--trainer.max_epochs", "2", "--model.optimizer.lr", "0.5")
    assert yaml.safe_load((folder / "version_1/config.yaml").read_text())["model"]["optimizer"]["lr"] == 0.5


def test_ctrl_c_says_how_to_go_on(swinv2_toy, capsys):
    """After an interruption the user is told the option that resumes."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            swinv2_toy("fit", "--model.accident", "ctrl-c")
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning switched it off
    assert "give the same command with --ckpt_path last" in capsys.readouterr().err


def test_too_little_memory_is_told_with_remedies(swinv2_toy):
    """They stand in a note of the error, which the command line prints."""
    with pytest.raises(torch.OutOfMemoryError) as raised:
        swinv2_toy("fit", "--model.accident", "memory")
    assert "--trainer.precision bf16-mixed" in raised.value.__notes__[0]


@pytest.mark.parametrize("option", ["--trainer.logger", "--trainer.enable_checkpointing"])
def test_logs_and_checkpoints_can_be_switched_off(swinv2_toy, folder, option):
    """Lightning's own switches work."""
    swinv2_toy("fit", option, "false", "--trainer.max_epochs", "1")
    assert (folder / "version_0").exists() == (option != "--trainer.logger")
    assert (folder / "checkpoints").exists() == (option == "--trainer.logger")


def test_checkpoints_can_be_configured(swinv2_toy, folder):
    """A recipe may change the arguments of both checkpoints; the last one is the end, whatever the interval."""
    swinv2_toy("fit", "--best_checkpoint.mode", "min", "--model.best", "0", "--last_checkpoint.every_n_epochs", "3")
    assert weights(folder / "checkpoints/best.ckpt")["epoch"] == 1
    assert weights(folder / "checkpoints/last.ckpt")["epoch"] == 3


def test_checkpoints_can_be_kept_elsewhere(swinv2_toy, tmp_path, capsys):
    """Best is looked for where it is written."""
    swinv2_toy("fit", "--best_checkpoint.dirpath", "elsewhere", "--model.best", "1")
    assert (tmp_path / "elsewhere/best.ckpt").exists()
    capsys.readouterr()
    swinv2_toy("validate", "--best_checkpoint.dirpath", "elsewhere")
    assert "weights of epoch 1\n" in capsys.readouterr().out


def test_the_written_recipe_runs_again(swinv2_toy, folder):
    """`config.yaml` of a run is a recipe; it leaves the logs of the run that wrote it alone."""
    swinv2_toy("fit", "--trainer.max_epochs", "1", "--model.head.init_args.width", "5")
    before = (folder / "version_0/metrics.csv").read_text()
    run(Toy, Numbers, ["fit", "--config", str(folder / "version_0/config.yaml")], "toy", "score", lambda config: None)
    assert (folder / "version_0/metrics.csv").read_text() == before
    assert (folder / "version_1/metrics.csv").exists()
    assert weights(folder / "checkpoints/last.ckpt")["head.inner.weight"].shape == (5, 3)


def test_a_trial_leaves_nothing_behind(swinv2_toy, folder):
    """Lightning's fast_dev_run runs some steps of training and validation without logs and checkpoints."""
    swinv2_toy("fit", "--trainer.fast_dev_run", "2")
    assert not folder.exists()


def test_impossible_trainer_is_a_value_error(swinv2_toy):
    """What Lightning cannot run is an error like any other."""
    with pytest.raises(ValueError, match="overfit_batches"):
        swinv2_toy("fit", "--trainer.overfit_batches", "-3.5")


def test_print_config(swinv2_toy, capsys):
    """The resolved recipe can be printed and is one that can be run."""
    with pytest.raises(SystemExit) as done:
        swinv2_toy("fit", "--print_config")
    assert done.value.code in (0, None)
    assert yaml.safe_load(capsys.readouterr().out)["model"]["head"]["init_args"] == {"width": 4}


def test_terminal_is_clean(swinv2_toy, caplog, capfd):
    """Hints of libraries that a user of this project cannot act on are not shown."""
    swinv2_toy("fit", "--trainer.max_epochs", "1")
    shown = "".join([*capfd.readouterr(), caplog.text])
    assert "weights of epoch 0" in shown
    assert not any(noise in shown for noise in ("Tip:", "TPU", "many workers", "not empty", "Warning"))


def test_nothing_left_to_train_is_said(swinv2_toy, caplog):
    """A run that is resumed at its end does nothing, and says what to raise."""
    swinv2_toy("fit")
    swinv2_toy("fit", "--ckpt_path", "last", "--trainer.max_epochs", "5")
    assert "Nothing was trained" not in caplog.text
    swinv2_toy("fit", "--ckpt_path", "last", "--trainer.max_epochs", "5")
    assert "Nothing was trained: the checkpoint is one after 5 epochs and 20 steps" in caplog.text


def test_settings_that_make_no_run_are_known_before_anything_is_built(swinv2_toy, capsys, folder):
    """The message names the key, and no run is begun."""
    with pytest.raises(SystemExit) as end:
        swinv2_toy("fit", "--trainer.accumulate_grad_batches", "0")
    assert end.value.code == 2
    assert "trainer.accumulate_grad_batches is 0; it must be 1 or more" in capsys.readouterr().err
    assert not folder.exists()


@pytest.mark.parametrize(
    ("terminal", "options", "lines"), [(False, [], True), (True, [], False), (False, ["false"], False)]
)
def test_progress_without_a_terminal(swinv2_toy, capsys, monkeypatch, terminal, options, lines):
    """A log has lines, a terminal the bar, and who wants neither has neither."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    swinv2_toy("fit", "--trainer.enable_progress_bar", *(options or ["true"]))
    assert ("step 16 of 16" in capsys.readouterr().out) == lines


@pytest.mark.parametrize("name", ["ModelSummary", "TQDMProgressBar"])
def test_callbacks_of_a_recipe_come_first(swinv2_toy, capsys, name):
    """A bar or table that a recipe names stands in the place of ours."""
    more = ["--trainer.enable_progress_bar", "true", "--trainer.callbacks", f"lightning.pytorch.callbacks.{name}"]
    swinv2_toy("fit", *more)
    assert ("step 16 of 16" in capsys.readouterr().out) == (name == "ModelSummary")


def test_nothing_is_said_that_says_nothing(swinv2_toy, caplog, capsys):
    """A seed that nobody changed, and FLOPs that nobody counted."""
    with caplog.at_level("INFO"):
        swinv2_toy("fit", "--trainer.enable_progress_bar", "true")
    said = caplog.text + "".join(capsys.readouterr())
    assert "Model: Head of 21  parameters" in said.replace("21 parameters", "21  parameters")
    assert not [word for word in ("Seed set", "FLOPs") if word in said]
