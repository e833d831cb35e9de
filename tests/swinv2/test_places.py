"""Where the files of a data set are."""

from pathlib import Path

import pytest

from swinv2.places import locate


@pytest.mark.parametrize(
    ("below", "alone", "found"),
    [(True, True, "below"), (True, False, "below"), (False, True, "alone"), (False, False, "below")],
)
def test_file_below_the_root_comes_first(tmp_path, monkeypatch, below, alone, found):
    """A name means the file below the root, and one by its own path only if that is the only one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root").mkdir()
    places = {"below": tmp_path / "root/names.txt", "alone": Path("names.txt")}
    for place, there in (("below", below), ("alone", alone)):
        if there:
            places[place].touch()
    assert locate(tmp_path / "root", "names.txt") == places[found]
