"""Files that are whole or as they were."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from swinv2.files.whole import (
    HOST,
    beside,
    is_running,
    remove_leftovers,
    size_of,
    write_bytes,
    write_torch,
    write_whole,
)


def gone():
    """Number of a process that has ended."""
    return subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True).stdout.decode()


def test_content_and_names_reach_the_disk_before_and_after_the_change(tmp_path, monkeypatch):
    """The file is synced, then renamed, then its folder and those that were made for it are synced."""
    done, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: (done.append(os.readlink(f"/proc/self/fd/{handle}")), fsync(handle))
    )
    monkeypatch.setattr(os, "replace", lambda one, other: (done.append("replace"), replace(one, other)))
    write_whole(tmp_path / "new/a.txt", lambda part: part.write_text("a"))
    assert done[0] == str(tmp_path)
    assert done[1].endswith(".part")
    assert done[2:] == ["replace", str(tmp_path / "new")]


@pytest.mark.parametrize("error", [OSError("disk"), RuntimeError("unexpected pos\nand more")])
def test_what_fails_leaves_the_earlier_file(tmp_path, error):
    """And no part of the new one."""
    path = tmp_path / "a.txt"
    write_whole(path, lambda part: part.write_text("old"))

    def fail(part):
        part.write_text("half")
        raise error

    with pytest.raises(OSError, match=r"a.txt cannot be written \((disk|unexpected pos)\); [\d,]+ bytes of space"):
        write_whole(path, fail)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_too_little_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    """With what is needed and what there is."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 5_000_000))
    with pytest.raises(OSError, match=r"no space for .*a.txt: it takes 7,000,000 bytes, and 5,000,000 are free"):
        write_whole(tmp_path / "a.txt", lambda part: pytest.fail("written"), 7_000_000)
    write_whole(tmp_path / "a.txt", lambda part: part.write_text("a"), 4_000_000)


def test_sizes_are_known_before_writing():
    """Tensors that share memory count once, and what is no tensor does not."""
    weights = torch.zeros(1000)
    assert size_of({"a": weights, "b": [weights[:10], torch.zeros(2, dtype=torch.int64)], "c": "text"}) == 4016


def test_same_content_is_the_same_file(tmp_path):
    """No name of a computer or process is in a file of torch."""
    for name in ("a.pth", "b.pth"):
        write_torch(tmp_path / name, {"a": torch.arange(9)})
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()


def test_small_file_that_cannot_be_written(tmp_path, monkeypatch):
    """Half of it is not left."""
    with pytest.raises(OSError, match=r"missing.a.png cannot be written: No such file"):
        write_bytes(tmp_path / "missing/a.png", b"a")
    write_bytes(tmp_path / "a.png", b"a")
    assert (tmp_path / "a.png").read_bytes() == b"a"


def test_leftovers_of_killed_processes_are_removed(tmp_path):
    """Those of this process, of other computers and of other names are not."""
    dead, own = f".a.ckpt.{HOST}.{int(gone())}.{'0' * 32}.part", beside(tmp_path / "a.ckpt").name
    others = [own, dead.replace(HOST, f"{HOST}x"), dead.replace("a.ckpt", "b.ckpt"), ".a.part"]
    for name in (dead, *others):
        (tmp_path / name).write_text("")
    assert [path.name for path in remove_leftovers(tmp_path, "a.ckpt")] == [dead]
    assert sorted(os.listdir(tmp_path)) == sorted(others)
    assert [path.name for path in remove_leftovers(tmp_path)] == [others[2]]
    (tmp_path / dead).mkdir()
    remove_leftovers(tmp_path)
    assert not (tmp_path / dead).exists()
    assert remove_leftovers(tmp_path / "missing") == []


def test_running_processes():
    """This one is, one that has ended is not."""
    assert is_running(os.getpid())
    assert is_running(1)
    assert not is_running(int(gone()))
    assert not is_running(10**30)
