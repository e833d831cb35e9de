"""Files that a list means."""

import pytest

from video.data.finding import VideoFinder


@pytest.fixture
def folder(tmp_path):
    """Videos, a folder of frames and a text."""
    for name in ("a.mp4", "B.MKV", "v1.5.avi", "v1.A.mp4", "v1.a.mp4", "deep/c.webm", "notes.txt", "u\u0308.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "frames").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("a.mp4", "a.mp4"),
        ("a", "a.mp4"),
        ("a.MP4", "a.mp4"),
        ("B.mkv", "B.MKV"),
        ("v1.5", "v1.5.avi"),
        ("v1.a", "v1.a.mp4"),
        ("v1.A", "v1.A.mp4"),
        ("deep/c", "deep/c.webm"),
        ("deep\\c.WEBM", "deep/c.webm"),
        ("./deep/../a", "a.mp4"),
        ("frames", "frames"),
        ("notes.txt", "notes.txt"),
        ("\u00fc", "u\u0308.mp4"),
    ],
)
def test_names_that_are_found(folder, place, name):
    """Suffixes may be missing or in other capitals, slashes those of Windows, accents composed."""
    found = VideoFinder(folder).find(place)
    assert found is not None and found.resolve() == (folder / name).resolve()


@pytest.mark.parametrize(
    "place", ["", " ", "b.mkv", "a.avi", "notes", "gone/a.mp4", "a.mp4/b", "no\0name", "http://a.mp4"]
)
def test_names_that_are_not_found(folder, place):
    """Other letters, other videos and what no file can be called are not there."""
    assert VideoFinder(folder).find(place) is None


def test_whole_paths(folder, tmp_path_factory):
    """A whole path does not depend on the folder."""
    assert VideoFinder(tmp_path_factory.mktemp("other")).find(f"{folder}/deep/c") == folder / "deep/c.webm"
