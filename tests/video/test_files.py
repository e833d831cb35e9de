"""Videos named for prediction."""

from pathlib import Path

import pytest

from video.files import VideoFiles, find_videos


@pytest.fixture
def folder(tmp_path):
    """Two videos, a text, a folder of frames, and one of other videos; none is opened."""
    for name in (
        "b.mp4",
        "a.AVI",
        "notes.txt",
        "frames/img_1.jpg",
        "frames/img_2.jpg",
        "deep/c.webm",
        "mixed/d.mp4",
        "mixed/d.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def found(folder, *patterns):
    """Paths below the folder that patterns below it find."""
    return [path.relative_to(folder).as_posix() for path in find_videos([str(folder / one) for one in patterns])]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["b.mp4"], ["b.mp4"]),
        (["notes.txt"], ["notes.txt"]),
        (["."], ["a.AVI", "b.mp4", "frames"]),
        (["frames"], ["frames"]),
        (["deep"], ["deep/c.webm"]),
        (["mixed"], ["mixed/d.mp4"]),
        (["*"], ["a.AVI", "b.mp4", "frames"]),
        (["**/*.webm"], ["deep/c.webm"]),
        (["b.mp4", "*.mp4", "a.AVI"], ["b.mp4", "a.AVI"]),
    ],
)
def test_what_patterns_find(folder, patterns, names):
    """Files are taken by any name, folders and globs give the videos and folders of frames in them, each once."""
    assert found(folder, *patterns) == names


@pytest.mark.parametrize("pattern", ["missing.mp4", "*.mkv", "frames/*"])
def test_pattern_that_finds_nothing(folder, pattern):
    """A pattern without videos is named, with what can be given."""
    with pytest.raises(FileNotFoundError, match=r"No video matches .*; give files, folders or globs of \.mp4"):
        found(folder, pattern)


def test_empty_folder(tmp_path):
    """A folder with nothing in it is no folder of frames."""
    with pytest.raises(FileNotFoundError, match="No video matches"):
        find_videos([str(tmp_path)])


def test_items():
    """An item says where a video is, and how its results are to be called."""
    files = VideoFiles([Path("x/a.mp4"), Path("b.avi")])
    assert len(files) == 2
    assert files[1] == {"video_id": 2, "path": Path("b.avi"), "name": "b"}


def test_names_are_unique():
    """Two files of one name are told apart by their position."""
    files = VideoFiles([Path("x/a.mp4"), Path("y/a.mp4")])
    assert [files[index]["name"] for index in range(2)] == ["1_a", "2_a"]
