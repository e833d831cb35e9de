"""When the state is saved from which a run goes on."""

import os
import signal
from datetime import timedelta

import pytest
import torch
from lightning import LightningDataModule, LightningModule, Trainer
from torch import nn
from torch.utils.data import Dataset

from swinv2.training.distributed import gather
from swinv2.training.loading import make_loader
from swinv2.training.runs.checkpointing import LastCheckpoint, WholeFiles
from swinv2.training.samplers import SeededEpochs

QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False, "logger": False}

pytestmark = pytest.mark.filterwarnings("ignore:.*(not resumable|not empty)")  # as the command does


class Numbers(Dataset):
    """From 0 on."""

    def __init__(self, number=24):
        self.number = number

    def __len__(self):
        return self.number

    def __getitem__(self, index):
        return float(index)


class Data(LightningDataModule):
    """Numbers in random order."""

    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self):
        given = {"batch_size": self.batch_size, "num_workers": 0, "collate": torch.tensor, "seed": 0}
        return make_loader(Numbers(), **given, trainer=self.trainer, shuffle=True)


class Toy(LightningModule):
    """One weight; it notes what it is trained on, and is asked to end in a batch by signals."""

    def __init__(self, end=None, signals=(signal.SIGTERM,)):
        super().__init__()
        self.weight, self.end, self.signals, self.seen = nn.Parameter(torch.ones(())), end, signals, []

    def training_step(self, batch, batch_idx):
        self.seen += batch.tolist()
        if (self.current_epoch, batch_idx) == self.end:
            for number in self.signals:
                os.kill(os.getpid(), number)
        return (self.weight * batch.mean() / 24 - torch.rand(())).square()

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), 0.1)


@pytest.fixture
def train(tmp_path):
    """Trains for two epochs, and gives the model."""

    def run(
        folder="run",
        end=None,
        resume=False,
        batch_size=2,
        accumulate=1,
        signals=(signal.SIGTERM,),
        code=None,
        epochs=2,
        **saving,
    ):
        torch.manual_seed(0)
        task, given = Toy(end, signals), {"save_on_exception": True, "save_on_train_epoch_end": True, **saving}
        last = LastCheckpoint(tmp_path / folder, "last", enable_version_counter=False, **given)
        trainer = Trainer(
            **QUIET, max_epochs=epochs, accumulate_grad_batches=accumulate, callbacks=[SeededEpochs(), last],
            default_root_dir=tmp_path,
        )  # fmt: skip
        path = tmp_path / folder / "last.ckpt" if resume else None
        if end is None:
            trainer.fit(task, Data(batch_size), ckpt_path=path)
        else:
            with pytest.raises(SystemExit) as stopped:
                trainer.fit(task, Data(batch_size), ckpt_path=path)
            assert stopped.value.code == (code or 128 + signals[-1])
        return task

    return run


@pytest.fixture
def saved(tmp_path):
    """Steps after which a run has its last checkpoint, and the batches of the epoch until there."""

    def read(folder="run"):
        checkpoint = torch.load(tmp_path / folder / "last.ckpt", weights_only=True)
        loops = checkpoint["loops"]["fit_loop"]
        return checkpoint["global_step"], loops["epoch_loop.batch_progress"]["current"]["processed"]

    return read


@pytest.mark.parametrize("end", [(0, 0), (0, 4), (0, 11), (1, 5)])
@pytest.mark.parametrize("accumulate", [1, 2, 5])
def test_stopped_run_loses_nothing(train, saved, end, accumulate):
    """Asked to end in any batch, it finishes the optimizer's step, and goes on with the next one."""
    whole = train("whole", accumulate=accumulate)
    first = train(end=end, accumulate=accumulate)
    batch = min(-(-(end[1] + 1) // accumulate) * accumulate, 12)
    assert saved() == (end[0] * -(-12 // accumulate) + -(-batch // accumulate), batch)
    second = train(resume=True, accumulate=accumulate)
    assert first.seen + second.seen == whole.seen
    assert torch.equal(second.weight, whole.weight)


def test_ctrl_c_loses_nothing(train, saved, capsys):
    """SIGINT saves as SIGTERM does, and says what a second one would do."""
    whole, first = train("whole"), train(end=(0, 4), signals=(signal.SIGINT,))
    assert saved() == (5, 5)
    assert "Ctrl-C again stops at once" in capsys.readouterr().err
    assert first.seen + train(resume=True).seen == whole.seen


def test_second_ctrl_c_ends_at_once(train, tmp_path):
    """Who presses it again does not wait for the step."""
    before = signal.getsignal(signal.SIGINT)
    try:
        train(end=(0, 4), signals=(signal.SIGINT, signal.SIGINT), code=1)
    finally:
        signal.signal(signal.SIGINT, before)  # Lightning switched it off
    assert not (tmp_path / "run").exists()


def test_stopped_again_and_again(train, tmp_path):
    """A run that is stopped in each batch is as one that is not."""
    seen, places = [], [(epoch, batch) for epoch in range(2) for batch in range(0, 12, 3)]
    for place in places:
        seen += train(end=place, resume=place != (0, 0)).seen
    last, whole = train(resume=True), train("whole")
    assert seen + last.seen == whole.seen
    assert torch.equal(last.weight, whole.weight)


def test_no_checkpoint_without_gradients(train, saved, monkeypatch):
    """However often it is time to save, it is done after steps of the optimizer only."""
    steps, save = [], Trainer.save_checkpoint
    monkeypatch.setattr(
        Trainer, "save_checkpoint", lambda self, *given: (steps.append(saved_after(self)), save(self, *given))
    )
    train(accumulate=2, train_time_interval=timedelta(0))
    assert steps == [(epoch, batch) for epoch in range(2) for batch in range(2, 13, 2)]


def saved_after(trainer):
    """Epoch and number of batches."""
    return trainer.current_epoch, trainer.fit_loop.epoch_loop.batch_progress.current.processed


def test_last_step_of_an_epoch_is_saved_at_its_end(train, tmp_path):
    """Then nothing of the epoch is left to be done, such as its validation."""
    train(every_n_train_steps=12)
    checkpoint = torch.load(tmp_path / "run/last.ckpt", weights_only=True)
    assert checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"] == 2


def test_end_of_a_run_is_saved_whatever_the_interval(train, saved, tmp_path):
    """And a longer training goes on from it as if it had not ended."""
    train(every_n_train_steps=5)
    assert saved() == (24, 12)
    whole, _ = train("whole", epochs=3), train("ended", every_n_train_steps=7)
    second = train("ended", resume=True, epochs=3, every_n_train_steps=7)
    assert second.seen == whole.seen[48:]
    assert torch.equal(second.weight, whole.weight)


def test_other_batches_go_on_at_the_same_place(train, caplog):
    """With batches of another size the rest of the epoch is the same."""
    whole, _ = train("whole"), train(end=(1, 5))
    second = train(resume=True, batch_size=4)
    assert second.seen == whole.seen[36:]
    assert "after 6 of the 12 batches of an epoch, which now has 6: going on after 3" in caplog.text


def test_stopping_may_save_nothing(train, saved):
    """If that is what is asked for, the last checkpoint is that of the epoch before."""
    train(end=(1, 5), save_on_exception=False)
    assert saved() == (12, 12)


def test_handler_of_before_is_back(train):
    """After training a SIGTERM is what it was before."""
    before = signal.getsignal(signal.SIGTERM)
    train()
    assert signal.getsignal(signal.SIGTERM) == before


def test_full_disk(tmp_path, monkeypatch):
    """What cannot be written says how much room there is, leaves no part of a file, and the earlier one."""
    path = tmp_path / "last.ckpt"
    WholeFiles().save_checkpoint({"step": 1}, path)

    def fill(content, part):
        part.write(b"half")
        raise RuntimeError("unexpected pos 64 vs 0\n and more")

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(OSError, match=r"last.ckpt cannot be written \(unexpected pos 64 vs 0\); [\d,]+ bytes of space"):
        WholeFiles().save_checkpoint({"step": 2}, path)
    assert [one.name for one in tmp_path.iterdir()] == ["last.ckpt"]
    assert torch.load(path, weights_only=True) == {"step": 1}


def test_checkpoint_that_cannot_be_written_leaves_the_earlier_one(tmp_path):
    """Whatever stops the writing, the file is whole."""
    path = tmp_path / "run/last.ckpt"
    WholeFiles().save_checkpoint({"step": 1}, path)
    with pytest.raises((AttributeError, TypeError, OSError)):
        WholeFiles().save_checkpoint({"step": 2, "bad": (one for one in "x")}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    WholeFiles().save_checkpoint({"step": 3}, path)
    assert torch.load(path, weights_only=True) == {"step": 3}
    assert [one.name for one in path.parent.iterdir()] == ["last.ckpt"]


class ScoredData(Data):
    """Three more numbers to be scored on."""

    def val_dataloader(self):
        given = {"batch_size": 1, "num_workers": 0, "collate": torch.tensor, "seed": 0}
        return make_loader(Numbers(3), **given, trainer=self.trainer)


class Validated(Toy):
    """Notes after which steps it is validated; in one of the validations something goes wrong."""

    def __init__(self, broken=None, **options):
        super().__init__(**options)
        self.broken, self.validated = broken, []

    def validation_step(self, batch, batch_idx):
        if self.global_step == self.broken:
            raise RuntimeError("accident")

    def on_validation_epoch_end(self):
        gather(0)  # as those of all tasks do, after batches of different number
        self.validated.append(self.global_step)


def fit(task, folder, resume=False, **options):
    """Trains for an epoch with a validation every two steps, and saves every four."""
    last = LastCheckpoint(
        folder, "last", enable_version_counter=False, save_on_exception=True, every_n_train_steps=4,
    )  # fmt: skip
    trainer = Trainer(
        **QUIET, max_epochs=1, val_check_interval=2, num_sanity_val_steps=0, callbacks=[SeededEpochs(), last],
        default_root_dir=folder, **options,
    )  # fmt: skip
    trainer.fit(task, ScoredData(2), ckpt_path=f"{folder}/last.ckpt" if resume else None)


def test_no_checkpoint_before_a_validation(tmp_path):
    """A run that is killed in a validation goes on from before the steps that it follows, and does not leave it out."""
    with pytest.raises(RuntimeError, match="accident"):
        fit(Validated(broken=8), tmp_path)
    task = Validated()
    fit(task, tmp_path, resume=True)
    assert task.validated == [6, 8, 10, 12]


ENDED = """
import os, signal
from swinv2.training.runs import checkpointing
from tests.swinv2.training.runs.test_checkpointing import Validated, fit
checkpointing.SECONDS = {seconds}
end = {end} if os.environ["LOCAL_RANK"] == "1" else None
fit(Validated(end=end, signals=(signal.{name},)), "run", devices=2, strategy="ddp")
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize(("batch", "steps", "seconds"), [(1, 2, 0), (2, 3, 0), (2, 4, 60), (5, 6, 60)])
def test_processes_end_together(run_code, saved, name, batch, steps, seconds):
    """Asked to end before a validation or at the end of an epoch, all finish what the others wait for.

    Where a step takes long, they end after this one, and otherwise when they ask each other, as after a validation.
    """
    codes, said = run_code(ENDED.format(end=(0, batch), name=name, seconds=seconds), processes=2)
    assert codes == [128 + signal.Signals[name]] * 2, said
    assert saved()[0] == steps


def test_checkpoint_that_cannot_be_handed_out(tmp_path):
    """Parts of another kind are told when it is read."""
    torch.save({"state_dict": {}, "loops": 3}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"a\.ckpt has 3 for loops: another program"):
        WholeFiles().load_checkpoint(tmp_path / "a.ckpt")
