"""Where runs are kept."""

import atexit
import os
import subprocess
import sys

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from swinv2.files.whole import HOST, write_torch
from swinv2.training.runs.run_folder import KeptRuns, claim_version, find_checkpoint, next_version, set_aside
from swinv2.training.runs.run_lock import take_folder


def test_versions_are_counted(tmp_path):
    """The next number follows the highest, whatever else is in the folder, and starts at 0."""
    assert next_version(tmp_path / "missing") == 0
    for name in ("version_2", "version_10", "version_old", "checkpoints"):
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == 11


def test_checkpoints_are_set_aside_one_after_the_other(tmp_path):
    """No earlier checkpoint is lost, and a folder that is not there is no error."""
    for content in ("first", "second"):
        set_aside(tmp_path / "checkpoints")
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints/last.ckpt").write_text(content)
    set_aside(tmp_path / "checkpoints")
    assert not (tmp_path / "checkpoints").exists()
    assert [(tmp_path / f"checkpoints.{i}/last.ckpt").read_text() for i in (1, 2)] == ["first", "second"]


def test_a_sharded_checkpoint_is_a_folder(tmp_path):
    """Training that is sharded over several devices writes folders."""
    (tmp_path / "last.ckpt").mkdir()
    (tmp_path / "last.ckpt/.metadata").write_bytes(b"")
    assert find_checkpoint("last", {"last": tmp_path}) == tmp_path / "last.ckpt"


def test_another_folder_is_none(tmp_path):
    """The message names the checkpoints in it."""
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"run is a folder, and no checkpoint in parts.*\(it holds none\)"):
        find_checkpoint(str(tmp_path / "run"), {})
    (tmp_path / "run/checkpoints/best.ckpt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"\(it holds .*run/checkpoints/best.ckpt\)"):
        find_checkpoint(str(tmp_path / "run"), {})


def test_a_path_is_taken_as_it_is(tmp_path):
    """Neither best nor last: a file somewhere."""
    with pytest.raises(FileNotFoundError, match=r"no checkpoint some/where.ckpt"):
        find_checkpoint("some/where.ckpt", {"last": tmp_path})


def test_two_runs_never_share_a_version(tmp_path):
    """A version is taken by making its folder."""
    assert [claim_version(tmp_path / "run") for _ in range(3)] == [0, 1, 2]
    assert (tmp_path / "run/version_2").is_dir()


def test_folder_of_what_a_killed_run_had_begun_is_removed(tmp_path):
    """It is not set aside, and neither are those that were before."""
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    for name in ("checkpoints", "checkpoints.1", "checkpoints.2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f".last.ckpt.{HOST}.{dead.stdout.strip()}.{'0' * 32}.part").write_text("")
    (tmp_path / "checkpoints.2/best.ckpt").write_text("")
    set_aside(tmp_path / "checkpoints")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        "checkpoints.2",
        "checkpoints.2/best.ckpt",
    ]


@pytest.mark.parametrize("damage", ["cut", "bit"])
def test_damaged_checkpoint_is_named_and_a_whole_one_offered(tmp_path, damage):
    """By the check sums in the file."""
    for name in ("best", "last", "older"):
        write_torch(tmp_path / f"{name}.ckpt", {"step": torch.arange(1000)})
    data = bytearray((tmp_path / "last.ckpt").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "last.ckpt").write_bytes(data if damage == "bit" else data[:2000])
    (tmp_path / "older.ckpt").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"last.ckpt is not a complete.*best.ckpt is whole: go on .* --ckpt_path .*best"
    ):
        find_checkpoint("last", {"last": tmp_path})
    (tmp_path / "best.ckpt").unlink()
    with pytest.raises(ValueError, match=r"There is no whole one beside it"):
        find_checkpoint("last", {"last": tmp_path})


def test_checkpoint_that_is_a_pipe(tmp_path):
    """It is not opened, as it would wait for its writer."""
    os.mkfifo(tmp_path / "pipe.ckpt")
    with pytest.raises(
        ValueError, match=r"pipe\.ckpt is not a complete checkpoint: it is a pipe, a socket or a device"
    ):
        find_checkpoint(str(tmp_path / "pipe.ckpt"), {})


@pytest.mark.parametrize(("exception", "held"), [(SIGTERMException(), True), (ValueError(), False)])
def test_folder_is_held_until_the_last_state_is_saved(tmp_path, monkeypatch, exception, held):
    """What is saved when a run is asked to end comes after this; another run must not set the folder aside before."""
    later = []
    monkeypatch.setattr(atexit, "register", later.append)
    kept = KeptRuns([tmp_path / "checkpoints"])
    kept.started = True
    kept.locks.append(take_folder(tmp_path / "checkpoints"))
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    kept.on_exception(trainer, LightningModule(), exception)
    assert (tmp_path / ".checkpoints.running.json").exists() == held
    for give_back in later:
        give_back()
    assert not (tmp_path / ".checkpoints.running.json").exists()


def test_empty_folder_is_not_set_aside(tmp_path):
    """As it is before the first run."""
    (tmp_path / "checkpoints").mkdir()
    set_aside(tmp_path / "checkpoints")
    assert [*tmp_path.iterdir()] == []
