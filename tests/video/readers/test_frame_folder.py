"""Folders of pictures as videos."""

import os

import cv2
import numpy as np
import pytest

from video.readers.frame_folder import FrameFolder
from video.readers.reader import UnreadableVideoError


@pytest.fixture
def folder(tmp_path):
    """Frames 1 to 12, where the pixels of a frame have its number in red, and other files."""
    for number in range(1, 13):
        pixels = np.zeros((6, 8, 3), np.uint8)
        pixels[..., 2] = number
        cv2.imwrite(str(tmp_path / f"img_{number}.png"), pixels)
    (tmp_path / ".img_0.png").touch()
    (tmp_path / "notes.txt").touch()
    return tmp_path


def test_frames_are_sorted_by_number(folder):
    """img_2 comes before img_10; frames are RGB; any order and repeated ones are given."""
    reader = FrameFolder(folder)
    assert (reader.length, reader.size) == (12, (6, 8))
    frames = reader.read([11, 1, 9, 1])
    assert frames[..., 0].reshape(4, -1).max(axis=1).tolist() == [12, 2, 10, 2]
    assert not frames[..., 1:].any()


def test_times_follow_the_rate(folder):
    """The rate is what the caller says."""
    with FrameFolder(folder, rate=12.0) as reader:
        assert reader.times([0, 6]).tolist() == [0, 0.5]


def test_rate_of_nothing(folder):
    """A rate of 0 is refused."""
    with pytest.raises(ValueError, match=r"rate 0\.0: a folder of frames needs"):
        FrameFolder(folder, rate=0.0)


def test_folder_without_pictures(tmp_path):
    """An empty folder is named."""
    with pytest.raises(UnreadableVideoError, match=r"The folder .* has no frames; looked for \.jpg"):
        FrameFolder(tmp_path)


def test_what_is_no_frame(folder):
    """Optical flow and thumbnails beside frames do not count."""
    for name in ("flow_x_1.png", "flow_x_2.png", "cover.jpg", "Thumbs.db"):
        (folder / name).write_bytes(b"no frame")
    assert FrameFolder(folder).read(range(12))[:, 0, 0, 0].tolist() == list(range(1, 13))


def test_frames_of_16_bits(folder):
    """They leave the video out, as unreadable ones do."""
    cv2.imwrite(str(folder / "img_2.png"), np.zeros((6, 8, 3), np.uint16))
    with pytest.raises(UnreadableVideoError, match=r"The frame .*img_2\.png .*16 bits|img_2\.png has values of type"):
        FrameFolder(folder).read([1])


def test_frames_that_are_too_oblong(tmp_path):
    """Frames of one row would fill the memory when they are resized."""
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((1, 500, 3), np.uint8))
    with pytest.raises(UnreadableVideoError, match=r"measure 1 x 500 pixels .* Crop or shrink them first"):
        FrameFolder(tmp_path)


def test_closed_folder(tmp_path):
    """A folder that is gone or cannot be listed is named."""
    with pytest.raises(UnreadableVideoError, match=r"The folder .*gone cannot be opened: No such file"):
        FrameFolder(tmp_path / "gone")


def test_damaged_picture(folder):
    """A picture that cannot be decoded is named."""
    (folder / "img_3.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableVideoError, match=r"The frame .*img_3\.png is no image"):
        FrameFolder(folder).read([2])


def test_picture_of_another_size(folder):
    """All frames have one size."""
    cv2.imwrite(str(folder / "img_4.png"), np.zeros((9, 8, 3), np.uint8))
    with pytest.raises(UnreadableVideoError, match=r"img_4\.png measures \(9, 8\) pixels .* the first one \(6, 8\)"):
        FrameFolder(folder).read([3])


def test_frame_out_of_range(folder):
    """There are frames 0 to 11."""
    with pytest.raises(IndexError, match="no frame 12; the video has the frames 0 to 11"):
        FrameFolder(folder).read([12])


def test_frame_that_is_a_pipe(folder):
    """It is not opened, as it would wait for its writer."""
    (folder / "img_5.png").unlink()
    os.mkfifo(folder / "img_5.png")
    with pytest.raises(UnreadableVideoError, match=r"img_5\.png is a pipe, a socket or a device"):
        FrameFolder(folder).read([4])
