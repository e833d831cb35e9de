"""Pictures as a video file."""

import numpy as np
import pytest

from swinv2.imaging.video_writer import write_video
from video.readers.opening import open_video


def pictures(count):
    """Plain pictures from red to blue."""
    return (np.full((32, 48, 3), (250 - 20 * index, 40, 20 * index), np.uint8) for index in range(count))


@pytest.mark.parametrize("rate", [25.0, 29.97, 9.004739, 66.123, 239.941])
def test_written_frames_are_read(tmp_path, rate):
    """A file has all frames in their colours, and their rate."""
    path = tmp_path / "made.mp4"
    write_video(path, pictures(12), (32, 48), rate)
    with open_video(path) as reader:
        assert (reader.length, reader.size, reader.rate) == (12, (32, 48), pytest.approx(rate, rel=1e-3))
        assert reader.read(range(12)).mean((1, 2)) == pytest.approx(
            np.array([(250 - 20 * index, 40, 20 * index) for index in range(12)]), abs=6
        )


@pytest.mark.parametrize(("name", "rate"), [("missing/made.mp4", 25.0), ("made.mp4", 0.0)])
def test_file_that_cannot_be_opened(tmp_path, name, rate):
    """A missing folder, and a rate that no file can have, are an error that says what was asked for."""
    with pytest.raises(OSError, match=rf"{name} cannot be written with {rate:g} frames per second of \(32, 48\)"):
        write_video(tmp_path / name, pictures(1), (32, 48), rate)


def test_frames_that_are_not_written(tmp_path):
    """Frames that OpenCV leaves out without a word, here by their size, are an error, and no file is left."""
    path = tmp_path / "made.mp4"
    with pytest.raises(OSError, match=r"could not write all 3 frames of .*made\.mp4"):
        write_video(path, pictures(3), (64, 64), 25.0)
    assert not path.exists()


def test_source_that_fails(tmp_path):
    """An error while frames are made passes through, and no half file is left."""
    path = tmp_path / "made.mp4"

    def failing():
        yield from pictures(2)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write_video(path, failing(), (32, 48), 25.0)
    assert not path.exists()
