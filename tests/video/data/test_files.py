"""Videos named for prediction."""

from pathlib import Path

import pytest

from video.data.files import VideoFiles, find_videos, in_words


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
        (["."], ["a.AVI", "b.mp4", "deep/c.webm", "frames", "mixed/d.mp4"]),
        (["frames"], ["frames"]),
        (["deep"], ["deep/c.webm"]),
        (["mixed"], ["mixed/d.mp4"]),
        (["*"], ["a.AVI", "b.mp4", "deep/c.webm", "frames", "mixed/d.mp4"]),
        (["?.*"], ["a.AVI", "b.mp4"]),
        (["**/*.webm"], ["deep/c.webm"]),
        (["b.mp4", "*.mp4", "a.AVI"], ["b.mp4", "a.AVI"]),
    ],
)
def test_what_patterns_find(folder, patterns, names):
    """Files are taken by any name; folders and globs give the videos and folders of frames below them, each once."""
    assert found(folder, *patterns) == names


@pytest.mark.parametrize("pattern", ["missing.mp4", "*.mkv", "frames/*"])
def test_pattern_that_finds_nothing(folder, pattern):
    """A pattern without videos is named, with what can be given."""
    with pytest.raises(FileNotFoundError, match=r"No video matches .*; give files, folders or globs of \.mp4"):
        found(folder, pattern)


def test_what_is_passed_over_is_told(folder, caplog):
    """Files that are no videos by their names are counted and named, pictures beside videos too."""
    found(folder, ".")
    assert [record.getMessage() for record in caplog.records] == [
        f"Passed over 2 of 7 files (29%) in {folder} that are no videos by their names (1 .png, 1 .txt), first "
        f"{folder}/mixed/d.png"
    ]


@pytest.mark.parametrize("name", ["phone.3gp", "camera.MTS", "disc.vob", "moving.gif", "film.m2ts", "tape.dv"])
def test_suffixes(tmp_path, name):
    """Videos of telephones, cameras and discs are found by their suffixes."""
    (tmp_path / name).touch()
    assert find_videos([str(tmp_path)]) == [tmp_path / name]


def test_folders_that_are_not_looked_into(tmp_path):
    """Hidden folders, what macOS adds to archives, and links back to a folder above have no videos of their own."""
    for name in ("a.mp4", ".hidden/b.mp4", "__MACOSX/c.mp4", "deep/__MACOSX/d.mp4", "deep/e.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    (tmp_path / "deep/back").symlink_to(tmp_path)
    assert find_videos([str(tmp_path)]) == [tmp_path / "a.mp4", tmp_path / "deep/e.mp4"]


def test_results_are_no_videos_to_predict(tmp_path):
    """Where a run writes is not looked into, unless it is asked for."""
    for name in ("a.mp4", "runs/videos/b.mp4", "more/found/c.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    results = [tmp_path / "runs", tmp_path / "more/found"]
    assert find_videos([str(tmp_path)], results) == [tmp_path / "a.mp4"]
    for asked in ("runs", "runs/videos/*"):
        assert find_videos([f"{tmp_path}/{asked}"], results) == [tmp_path / "runs/videos/b.mp4"]


def test_what_is_found_in_words(tmp_path):
    """Videos are counted by suffix."""
    assert in_words([Path("a.mp4"), Path("b.MP4"), Path("c.3gp"), tmp_path]) == (
        "4 videos (2 .mp4, 1 .3gp, 1 folders of frames)"
    )


def test_folders_of_frames(tmp_path):
    """Frames with folders or a moving preview beside them are one video; a cover beside folders makes none."""
    for name in ("v1/1.jpg", "v1/2.jpg", "v1/flow/1.jpg", "v1/preview.gif", "more/cover.jpg", "more/v2/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    assert find_videos([str(tmp_path)]) == [tmp_path / "more/v2", tmp_path / "v1"]


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


def test_folders_of_what_is_made_of_frames(tmp_path, caplog):
    """Folders of optical flow, masks and thumbnails beside others are no videos; alone they are."""
    names = ("s/rgb/1.jpg", "s/tvl1_flow/1.jpg", "s/u/1.jpg", "s/v/1.jpg", "thumbs/a.jpg", "a.mp4", "mask_01/1.jpg")
    for name in (*names, "other/flow/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert found(tmp_path, ".") == ["a.mp4", "mask_01", "other/flow", "s/rgb"]
    assert "are passed over, such as the folder" in caplog.text
