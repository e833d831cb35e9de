"""When the frames of a video are shown, where what the file says of it can be believed."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from video.readers.reader import DEFAULT_RATE, VideoReader, check_indices

logger = logging.getLogger(__name__)

LONGEST_FRAME = 600.0  # seconds that a frame may be shown; lectures have such, clocks that jump have more
LONGEST_STILL = 6 * 3600.0  # seconds that all frames together may last, beside a second for each
FASTEST = 1000.0  # frames per second
REORDERED = 16  # places that a time may be from its own; decoders hold no more frames back


class FrameTimes(NamedTuple):
    """Times and rate of the frames of a video.

    Attributes:
        seconds: when each frame begins to be shown, from 0.
        rate: frames per second; where they last unequally long, the mean.
        doubt: why the times in the file are not these; None if they are.
    """

    seconds: Float64[np.ndarray, " n"]
    rate: float
    doubt: str | None = None


class TimedFootage(VideoReader):
    """A file whose frames have times of their own.

    Attributes:
        path: the file.
    """

    path: Path

    def take_times(self, times: FrameTimes) -> None:
        """Set rate and times of all frames."""
        self.rate = times.rate
        self._times = times
        self._doubt = times.doubt  # until it is told

    def times(self, indices: Sequence[int]) -> Float64[np.ndarray, " t"]:
        """When frames begin to be shown, as in `VideoReader`; the log tells once where that is not what the file says.

        Args:
            indices: from 0; any order, repeated ones too.
        """
        check_indices(indices, len(self._times.seconds))
        if self._doubt is not None:
            text = "The times in %s are not used (%s); its frames are taken to follow each other at %g per second"
            logger.warning(text, self.path, self._doubt, self.rate)
            self._doubt = None
        return self._times.seconds[np.asarray(indices)]


def frame_times(stamps: Float64[np.ndarray, " n"], header_rate: float | None) -> FrameTimes:
    """The times in a file; where they make no sense, frames follow each other at the likely rate.

    Times that are believed make a video at most six hours longer than it has frames: what is allocated by time stays
    in proportion to the file.

    Args:
        stamps: times of the frames in the file, seconds, in the order of showing; not a number where there is none.
        header_rate: frames per second by the header; None if it has none.
    """
    seconds = np.sort(stamps) - np.min(stamps)
    doubt = why_not(stamps, seconds)
    if doubt is None and len(stamps) > 1:
        return FrameTimes(seconds, round((len(stamps) - 1) / float(seconds[-1]), 6))
    rate = likely_rate(seconds, header_rate)
    return FrameTimes(np.arange(len(stamps)) / rate, rate, doubt)


def why_not(stamps: Float64[np.ndarray, " n"], seconds: Float64[np.ndarray, " n"]) -> str | None:
    """What is wrong with the times of frames; None if nothing is.

    Args:
        stamps: as the file has them.
        seconds: sorted, from 0.
    """
    if np.isnan(stamps).any():
        return "frames have no times"
    if len(stamps) == 1:
        return None
    if np.abs(np.argsort(stamps, kind="stable") - np.arange(len(stamps))).max() > REORDERED:
        return "times go back"
    gaps, duration = np.diff(seconds), seconds[-1]
    if gaps.min() <= 0:
        return "frames share a time"
    if gaps.max() > LONGEST_FRAME or duration > LONGEST_STILL + len(stamps):
        return f"a frame would be shown for {gaps.max():.0f} s, all of them for {duration:.0f} s"
    if (len(stamps) - 1) / duration > FASTEST:
        return f"there would be {(len(stamps) - 1) / duration:.0f} frames per second"
    return None


def likely_rate(seconds: Float64[np.ndarray, " n"], header_rate: float | None) -> float:
    """Frames per second by the usual distance of neighbours, else by the header, else the usual rate.

    Args:
        seconds: when frames are shown, sorted; some or all of them may be wrong.
        header_rate: None if the header has none.
    """
    gaps = np.diff(seconds)
    usual = float(np.median(gaps)) if len(gaps) and np.isfinite(gaps).all() else 0.0
    rates = [round(1 / usual, 6) if usual > 0 else 0.0, header_rate or 0.0]
    return next((rate for rate in rates if 1 / LONGEST_FRAME <= rate <= FASTEST), DEFAULT_RATE)
