"""Presentation times of the frames of a video, from the file if they are plausible."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from video.readers.reader import DEFAULT_RATE, VideoReader, check_indices

logger = logging.getLogger(__name__)

LONGEST_FRAME = 600.0  # greatest duration of a frame, seconds; lectures have such, jumping clocks have more
LONGEST_STILL = 6 * 3600.0  # greatest duration of a video, seconds, plus a second per frame
FASTEST = 1000.0  # greatest rate, frames per second
REORDERED = 16  # greatest distance of a time from its sorted position; decoders reorder no more frames


class FrameTimes(NamedTuple):
    """Times and rate of the frames of a video.

    Attributes:
        seconds: presentation time of each frame, from 0.
        rate: frames per second; the mean, if durations differ.
        doubt: reason why the times in the file are not used; None if they are.
    """

    seconds: Float64[np.ndarray, " n"]
    rate: float
    doubt: str | None = None


class TimedFootage(VideoReader):
    """Reader of a file with presentation times of its frames.

    Attributes:
        path: the file.
    """

    path: Path

    def take_times(self, times: FrameTimes) -> None:
        """Set rate and times of all frames."""
        self.rate = times.rate
        self._times = times
        self._doubt = times.doubt  # None once it is logged

    def times(self, indices: Sequence[int]) -> Float64[np.ndarray, " t"]:
        """Presentation times of frames, as in `VideoReader`; if they are not those of the file, it is logged once.

        Args:
            indices: frame numbers from 0, in any order, also repeated.
        """
        check_indices(indices, len(self._times.seconds))
        if self._doubt is not None:
            text = "The times in %s are not used (%s); its frames are taken to follow each other at %g per second"
            logger.warning(text, self.path, self._doubt, self.rate)
            self._doubt = None
        return self._times.seconds[np.asarray(indices)]


def frame_times(stamps: Float64[np.ndarray, " n"], header_rate: float | None) -> FrameTimes:
    """Presentation times from a file; if they are not plausible, frames follow each other at the likely rate.

    Accepted times make a video at most six hours longer than a second per frame, so that memory allocated by time stays
    in proportion to the file.

    Args:
        stamps: times of the frames in the file, seconds, in presentation order; NaN for none.
        header_rate: frames per second in the header; None if it has none.
    """
    seconds = np.sort(stamps) - np.min(stamps)
    doubt = why_not(stamps, seconds)
    if doubt is None and len(stamps) > 1:
        return FrameTimes(seconds, round((len(stamps) - 1) / float(seconds[-1]), 6))
    rate = likely_rate(seconds, header_rate)
    return FrameTimes(np.arange(len(stamps)) / rate, rate, doubt)


def why_not(stamps: Float64[np.ndarray, " n"], seconds: Float64[np.ndarray, " n"]) -> str | None:
    """Reason why the times of frames are not plausible; None if they are.

    Args:
        stamps: times in the file.
        seconds: the times sorted, from 0.
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
    """Frames per second from the median distance of neighbours, else from the header, else `DEFAULT_RATE`.

    Args:
        seconds: presentation times, sorted; some or all may be wrong.
        header_rate: frames per second in the header; None if it has none.
    """
    gaps = np.diff(seconds)
    usual = float(np.median(gaps)) if len(gaps) and np.isfinite(gaps).all() else 0.0
    rates = [round(1 / usual, 6) if usual > 0 else 0.0, header_rate or 0.0]
    return next((rate for rate in rates if 1 / LONGEST_FRAME <= rate <= FASTEST), DEFAULT_RATE)
