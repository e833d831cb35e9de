"""Times and key frames of a file."""

import numpy as np
import pytest

from video.timeline import Timeline, read_timeline


@pytest.fixture
def timeline():
    """Six frames, decoding can begin at 0, 2 and 5."""
    return Timeline(np.array([0.0, 40, 80, 200, 210, 240]), np.array([0, 2, 5]))


def test_packets_are_put_in_the_order_of_showing(encode):
    """With B-frames, packets lie in another order than frames are shown in."""
    found = read_timeline(encode("clip.mp4"))
    assert found.milliseconds.tolist() == [40.0 * index for index in range(24)]
    assert found.keys.tolist() == [0, 10, 20]


def test_no_timeline_of_what_is_no_video(tmp_path):
    """Without packets there are no times."""
    (tmp_path / "clip.mp4").write_text("no video")
    assert len(read_timeline(tmp_path / "clip.mp4").milliseconds) == 0


def test_key_before(timeline):
    """The key frame of a frame is the last one up to itself."""
    assert [timeline.key_before(index) for index in range(6)] == [0, 0, 2, 2, 2, 5]


def test_find(timeline):
    """A frame is found by exactly its time."""
    assert [timeline.find(time) for time in (0.0, 200.0, 240.0, 100.0, 300.0)] == [0, 3, 5, None, None]


def test_rate(timeline):
    """Five frames pass in 240 ms."""
    assert timeline.rate == pytest.approx(5 / 0.24)


@pytest.mark.parametrize("times", [[0.0, 0.0, 0.0], [0.0, 40.0, 40.0], [40.0, 80.0, 0.0], [0.0]])
def test_no_rate_without_times(times):
    """Where frames share times or have none, they tell no rate."""
    assert Timeline(np.array(times), np.array([0])).rate is None
