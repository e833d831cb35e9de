"""Time stamps and key frames of a file."""

import numpy as np
import pytest

from video.readers.packet_list import UNKNOWN
from video.readers.reader import UnreadableVideoError
from video.readers.timeline import Timeline, read_timeline


def timeline(*stamps, keys=(0,), rate=None):
    """Frames of these stamps, milliseconds."""
    return Timeline(np.array(stamps, np.int64), np.array(keys), 0.001, rate)


def test_packets_are_put_in_the_order_of_showing(encode):
    """With B-frames, packets lie in another order than frames are shown in."""
    found = read_timeline(encode("clip.mp4"))
    assert (found.stamps * found.unit).tolist() == pytest.approx(np.arange(24) / 25)
    assert (found.keys.tolist(), found.header_rate) == ([0, 10, 20], 25)


def test_no_timeline_of_what_is_no_video(tmp_path):
    """What cannot be opened is an error."""
    (tmp_path / "clip.mp4").write_text("no video")
    with pytest.raises(UnreadableVideoError, match="or no video"):
        read_timeline(tmp_path / "clip.mp4")


def test_key_before():
    """The key frame of a frame is the last one up to itself."""
    found = timeline(0, 40, 80, 200, 210, 240, keys=(0, 2, 5))
    assert [found.key_before(index) for index in range(6)] == [0, 0, 2, 2, 2, 5]


def test_find():
    """A frame is found by exactly its stamp."""
    found = timeline(-40, 0, 80, 200)
    assert [found.find(stamp) for stamp in (-40, 200, 80, 100, 300, None)] == [0, 3, 2, None, None, None]


@pytest.mark.parametrize("stamps", [(0, 0, 0), (0, 40, 40), (40, 80, 0), (0, UNKNOWN)])
def test_frames_that_are_not_told_apart(stamps):
    """Where frames share stamps, have none, or stamps go back, no frame is found by them."""
    found = timeline(*stamps)
    assert not found.told_apart
    assert found.find(0) is None


def test_times():
    """Times are in seconds, from the first; without stamps they follow from the rate in the header."""
    assert timeline(-40, 0, 80).times.seconds.tolist() == pytest.approx([0, 0.04, 0.12])
    assert timeline(UNKNOWN, UNKNOWN, rate=10.0).times.seconds.tolist() == [0, 0.1]
