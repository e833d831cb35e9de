"""Where runs are kept."""

import pytest

from swinv2.training.run_folder import find_checkpoint, next_version, set_aside


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
    assert find_checkpoint("last", {"last": tmp_path}) == tmp_path / "last.ckpt"


def test_a_path_is_taken_as_it_is(tmp_path):
    """Neither best nor last: a file somewhere."""
    with pytest.raises(FileNotFoundError, match=r"no checkpoint some/where.ckpt"):
        find_checkpoint("some/where.ckpt", {"last": tmp_path})
