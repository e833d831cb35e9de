"""Times of frames, believed or not."""

import logging
from pathlib import Path

import numpy as np
import pytest

from video.readers.frame_times import LONGEST_FRAME, LONGEST_STILL, TimedFootage, frame_times
from video.readers.reader import DEFAULT_RATE

STEADY = np.arange(24) / 25


def at(place, seconds):
    """Steady times, of which one and those behind it are later."""
    return STEADY + seconds * (np.arange(24) >= place)


@pytest.mark.parametrize(
    ("stamps", "rate"),
    [
        (STEADY, 25),
        (STEADY - 3.5, 25),
        (STEADY + 1.7e9, 25),
        (np.array([0, 0.04, 0.5, 1.2]), 2.5),
        (at(12, LONGEST_FRAME - 1), 23 / (STEADY[-1] + LONGEST_FRAME - 1)),
        (np.array([0.04, 0, 0.12, 0.08]), 25),
    ],
    ids=["steady", "from below zero", "of the clock", "uneven", "a long pause", "in the order of decoding"],
)
def test_times_that_are_believed(stamps, rate):
    """They begin at zero, in the order of showing, and tell the mean rate."""
    found = frame_times(stamps, 30.0)
    assert found.seconds == pytest.approx(np.sort(stamps) - stamps.min(), abs=1e-6)
    assert (found.rate, found.doubt) == (pytest.approx(rate, rel=1e-4), None)


@pytest.mark.parametrize(
    ("stamps", "header", "rate", "doubt"),
    [
        (at(12, 37_600), 30.0, 25, "a frame would be shown for 37600 s"),
        (np.array([0, *(1.7e9 + STEADY)]), 30.0, 25, "a frame would be shown for 1700000000 s"),
        (3600.0 * np.arange(6), 1 / 3600, DEFAULT_RATE, "all of them for 18000 s"),
        (500.0 * np.arange(60), 10.0, 0.002, "all of them for 29500 s"),
        (np.zeros(5), 12.5, 12.5, "frames share a time"),
        (np.array([0, 0.04, 0.04, 0.08]), 12.5, 25, "frames share a time"),
        (np.full(5, np.nan), 12.5, 12.5, "frames have no times"),
        (np.array([0, np.nan, 0.08]), None, DEFAULT_RATE, "frames have no times"),
        (np.concatenate([STEADY + 9, STEADY]), 30.0, 25, "times go back"),
        (np.arange(9) * 1e-5, 90_000.0, DEFAULT_RATE, "there would be 100000 frames per second"),
    ],
)
def test_times_that_are_not_believed(stamps, header, rate, doubt):
    """Frames then follow each other as most do, or at the rate in the header, or at the usual one."""
    found = frame_times(stamps, header)
    assert found.rate == pytest.approx(rate)
    assert found.seconds == pytest.approx(np.arange(len(stamps)) / found.rate)
    assert doubt in found.doubt


@pytest.mark.parametrize(("header", "rate"), [(25.0, 25), (None, DEFAULT_RATE), (1e9, DEFAULT_RATE)])
def test_single_frame(header, rate):
    """It is at zero and has the rate of the header, if that makes sense."""
    assert frame_times(np.array([3.0]), header) == (pytest.approx([0]), rate, None)


@pytest.mark.parametrize("count", [2, 100, 5000])
def test_duration_stays_in_proportion(count):
    """However times claim, a video lasts no longer than a second for each frame and six hours."""
    rng = np.random.default_rng(count)
    for scale in 10.0 ** np.arange(-6, 12):
        found = frame_times(np.cumsum(rng.uniform(0, scale, count)), 25.0)
        assert found.seconds[-1] <= max(LONGEST_STILL + count, count * LONGEST_FRAME)
        assert 1 / LONGEST_FRAME <= found.rate <= 1000


class Timed(TimedFootage):
    """VideoReader that has nothing but times."""

    def __init__(self, stamps):
        self.path, self.length, self.size = Path("clip.mkv"), len(stamps), (1, 1)
        self.take_times(frame_times(stamps, None))

    def close(self):
        """Nothing is open."""

    def read(self, indices):
        """There are no frames."""


def test_doubt_is_told_once(caplog):
    """Asked for times, a file whose own are not used is named in the log, and only then."""
    reader = Timed(at(12, 37_600))
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        assert [reader.times([23]).tolist(), reader.times([0]).tolist()] == [[23 / 25], [0]]
    assert len(caplog.records) == 1
    assert "The times in clip.mkv are not used (a frame would be shown for 37600 s" in caplog.text
    with pytest.raises(IndexError, match="no frame 24"):
        reader.times([24])
