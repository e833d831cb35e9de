"""One training at a time in a folder."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from filelock import FileLock

from swinv2.training.runs.run_lock import RunLock, take_folder

HOLD = """
import sys, time
from pathlib import Path
from swinv2.training.runs.run_lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print(lock.take(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that has taken the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_second_training_takes_a_folder_of_its_own(tmp_path, other, caplog):
    """The log says who has the other one."""
    lock = take_folder(tmp_path / "run")
    assert lock.folder == tmp_path / "run-2"
    assert f"run (process {other.pid} on {socket.gethostname()}, since 20" in caplog.text
    lock.give_back()


def test_what_a_killed_process_had_is_taken(tmp_path, other, caplog):
    """The log says whose it was; a clean end is not mentioned."""
    other.send_signal(signal.SIGKILL)
    other.wait()
    lock = RunLock(tmp_path / "run")
    assert lock.take()
    assert f"did not come to its end (process {other.pid} on" in caplog.text
    lock.give_back()
    caplog.clear()
    assert lock.take()
    lock.give_back()
    assert not caplog.text


def test_lock_that_processes_of_a_killed_run_still_have(tmp_path, caplog):
    """Its loading processes end a little later; who held it counts."""
    ended = int(subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True).stdout)
    note = {"host": socket.gethostname(), "process": ended, "since": 0}
    (tmp_path / ".run.running.json").write_text(json.dumps(note))
    with FileLock(tmp_path / ".run.lock"):
        lock = RunLock(tmp_path / "run")
        assert lock.take()
        lock.give_back()


@pytest.mark.parametrize("note", ["", "[]", json.dumps({"host": "elsewhere", "process": 1, "since": 0})])
def test_lock_of_unknown_or_other_computers_holds(tmp_path, note):
    """Nothing can be known of their processes."""
    (tmp_path / ".run.running.json").write_text(note)
    with FileLock(tmp_path / ".run.lock"):
        assert not RunLock(tmp_path / "run").take()


def test_disk_without_locks_goes_by_the_note(tmp_path, monkeypatch):
    """As some network disks are."""

    def refuse(self):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    first = RunLock(tmp_path / "run")
    assert first.take()
    assert json.loads(first.note.read_text())["process"] == os.getpid()
    assert not RunLock(tmp_path / "run").take()
    first.give_back()
    assert RunLock(tmp_path / "run").take()
