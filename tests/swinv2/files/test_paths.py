"""Where files are, and safe names for new ones."""

import unicodedata
from pathlib import Path

import pytest

from swinv2.files.paths import Finder, locate, safe_name


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


@pytest.fixture
def finder(tmp_path):
    """A folder with a file of a strange name in it."""
    (tmp_path / "für").mkdir()
    (tmp_path / "für/é 1.png").write_text("")
    (tmp_path / "a\\b.png").write_text("")
    return Finder(tmp_path)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("name", ["für/é 1.png", "für\\é 1.png", "./für//é 1.png", "für/../für/é 1.png"])
def test_names_of_other_systems(finder, name, form):
    """Backslashes and accents in the other form of Unicode lead to the file."""
    assert finder.find(unicodedata.normalize(form, name)).name == "é 1.png"


@pytest.mark.parametrize(("written", "wanted"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_names_in_either_form_on_the_disk(tmp_path, written, wanted):
    """The path is that of the file, whichever form it and the list have."""
    (tmp_path / unicodedata.normalize(written, "é.png")).write_text("")
    assert Finder(tmp_path).find(unicodedata.normalize(wanted, "é.png")).is_file()


def test_names_as_they_are(finder):
    """A file whose name has a backslash is found by it; a whole path is taken as it is."""
    assert finder.find("a\\b.png").name == "a\\b.png"
    assert finder.find(str(finder.folder / "a\\b.png")) == finder.folder / "a\\b.png"


@pytest.mark.parametrize("name", ["", " ", "none.png", "für/none.png", "a\0b", "é 1.png", "none/é 1.png"])
def test_no_such_file(finder, name):
    """What is not there is None."""
    assert finder.find(name) is None


@pytest.mark.parametrize(
    "name", ["a.png", "pictures/000001.png", "größe 裂纹.png", "a..b/c", ".hidden", "x" * 170 + ".png"]
)
def test_good_names_stay(name):
    """Nothing is changed that needs no change."""
    assert safe_name(name) == name


@pytest.mark.parametrize(
    "name", ["../../evil.png", "/etc/passwd", "a/../../b", "a\\..\\b", "..", "a\nb.png", "裂" * 300 + ".png"]
)
def test_names_from_data_lead_nowhere(name, tmp_path):
    """Other names become such as can be written, within the folder, and differ where the names differ."""
    path = tmp_path / safe_name(f"pictures/{name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    assert (tmp_path / "pictures") in path.resolve().parents
    assert safe_name(name) != safe_name(f"x{name}")
    assert path.suffix == Path(name).suffix or ".." in name
