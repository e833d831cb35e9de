import json

import pytest

from swinv2.engines.gpu import remembered

ONE, OTHER = {"card": "a", "torch": "2.6"}, {"card": "a", "torch": "2.7"}


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """A folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_what_is_added_is_read():
    """Under the same identity, together with what was there."""
    assert remembered.read(ONE) == {}
    remembered.add(ONE, {"kernel": None})
    remembered.add(ONE, {"other": "it is wrong"})
    assert remembered.read(ONE) == {"kernel": None, "other": "it is wrong"}
    assert remembered.read(OTHER) == {}
    assert [path.suffix for path in remembered.folder().iterdir()] == [".json"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"of": {}, "found": {"kernel": null}}', '{"found": 3}', "\x00"])
def test_files_that_are_no_such_files(text):
    """Are as if they were not there, and are written anew."""
    remembered.add(ONE, {"kernel": None})
    (path,) = remembered.folder().iterdir()
    path.write_text(text)
    assert remembered.read(ONE) == {}
    remembered.add(ONE, {"other": None})
    assert json.loads(path.read_text()) == {"of": ONE, "found": {"other": None}}


def test_a_disk_that_cannot_be_written(monkeypatch, tmp_path):
    """Means to find out again next time."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    remembered.add(ONE, {"kernel": None})
    assert remembered.read(ONE) == {}
