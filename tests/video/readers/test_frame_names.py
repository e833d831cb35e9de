"""Frames told from what lies beside them, by their names."""

import logging
from pathlib import Path

import pytest

from video.readers.frame_names import select_frames, tell_passed_over
from video.readers.reader import UnreadableVideoError

FOLDER = Path("v_Archery_g01_c01")


@pytest.fixture(autouse=True)
def nothing_told():
    """What the log has told in other tests does not count."""
    tell_passed_over.cache_clear()


def series(*patterns, count=12):
    """Names of numbered pictures."""
    return [pattern % number for pattern in patterns for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("frames", "others"),
    [
        (series("img_%d.jpg"), []),
        (series("img_%05d.jpg"), series("flow_x_%05d.jpg", "flow_y_%05d.jpg")),
        (series("image_%d.jpg"), series("x_%d.jpg", "y_%d.jpg")),
        (series("%06d.png"), series("%06d_mask.png", "%06d.depth.png", "seg_%d.png")),
        (series("frame%d.JPG"), ["Thumbs.jpg", "cover.jpg", "folder.jpg", "thumbnail.png"]),
        (series("rgb-%d.jpg"), series("rgb-%d-LabelIds.png")),
        (series("img_%d.jpg"), ["img_1 (1).jpg", "notes.png"]),
        (series("v_flow_%d.jpg"), series("v_flow_%d_thumb.jpg")),
        (["a.jpg", "b.jpg", "c1.png"], ["thumbnail.jpg"]),
        (["cover.jpg"], []),
        (["0a1b2c.jpg", "0a1b9c.jpg", "1f.jpg", *(f"{letter}.jpg" for letter in "abcdefg")], []),
        (series("depth_%d.png"), []),
        ([*series("%d.jpg"), "13.jpeg", "14.png", "15.png"], []),
        (["9.50.jpg", "10.25.jpg", "10.50.jpg", "11.00.jpg"], []),
        (["2021-03-04T09:59:59.jpg", "2021-03-04T10:00:00.jpg", "2021-03-04T10:00:01.jpg"], []),
        (["12_08.jpg", "12_09.jpg", "12_10.jpg", "13_01.jpg", "13_02.jpg"], []),
    ],
)
def test_frames(frames, others):
    """Frames come in the order of their numbers, and nothing else does."""
    assert select_frames(FOLDER, sorted([*others, *frames])) == frames


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (series("left_%d.jpg", "right_%d.jpg"), r"12 like left_1.jpg \(left_#.jpg\) and 12 like right_1.jpg"),
        (series("x_%d.jpg", "y_%d.jpg"), r"12 like x_1.jpg .* and 12 like y_1.jpg"),
        (series("cam1_%d.png", "cam2_%d.png"), r"2 kinds of pictures, 12 like cam1_1.png"),
        (series("%d.jpg", "%d.png"), r"12 like 1.jpg \(#.jpg\) and 12 like 1.png"),
        (series("a%d.jpg", count=9) + series("b%d.jpg", count=3), r"9 like a1.jpg .* and 3 like b1.jpg"),
        (series("flow_x_%d.jpg", "flow_y_%d.jpg"), "kinds of pictures"),
    ],
)
def test_kinds_that_cannot_be_told_apart(names, told):
    """Two kinds that may both be the frames are an error with their names and numbers."""
    with pytest.raises(UnreadableVideoError, match=f"The folder {FOLDER} has .*{told}.*Move the others"):
        select_frames(FOLDER, names)


def test_what_is_passed_over_is_told_once(caplog):
    """However many folders have it, a kind of other pictures is named once."""
    with caplog.at_level(logging.WARNING):
        for folder in ("a", "b", "c"):
            select_frames(Path(folder), series("img_%d.jpg", "flow_x_%d.jpg"))
    assert [record.getMessage() for record in caplog.records] == [
        "Pictures beside frames that are none by their names are passed over, such as flow_x_#.jpg"
    ]
