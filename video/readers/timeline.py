"""Timeline of a video file: its frames in presentation order, and its key frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from video.readers.frame_times import FrameTimes, frame_times
from video.readers.packet_list import UNKNOWN, PacketList
from video.readers.video_file import VideoFile

START = np.zeros(1, np.int64)


@dataclass(frozen=True)
class Timeline:
    """Time stamps of the frames in presentation order, and the key frames among them.

    Attributes:
        stamps: presentation time stamp of each frame, in the stream's time base; `UNKNOWN` for none.
        keys: ascending numbers of the key frames, where decoding can begin; the first frame is one.
        unit: time base, seconds.
        header_rate: frames per second in the header; None if it has none.
    """

    stamps: Int64[np.ndarray, " n"]
    keys: Int64[np.ndarray, " k"]
    unit: float
    header_rate: float | None

    @cached_property
    def told_apart(self) -> bool:
        """Whether all time stamps are known and ascending, so that each identifies its frame."""
        return bool((self.stamps != UNKNOWN).all() and (np.diff(self.stamps) > 0).all())

    @property
    def times(self) -> FrameTimes:
        """Presentation times of the frames, and their rate."""
        return frame_times(np.where(self.stamps == UNKNOWN, np.nan, self.stamps * self.unit), self.header_rate)

    def key_before(self, index: int) -> int:
        """Number of the last key frame that is not after a frame."""
        return int(self.keys[np.searchsorted(self.keys, index, side="right") - 1])

    def find(self, stamp: int | None) -> int | None:
        """Number of the frame with a time stamp; None if there is none or time stamps are not unique."""
        if stamp is None or not self.told_apart:
            return None
        index = int(np.searchsorted(self.stamps, stamp))
        return index if index < len(self.stamps) and self.stamps[index] == stamp else None


def timeline_of(stamps: Sequence[int | None], packets: PacketList, file: VideoFile) -> Timeline:
    """Make the timeline of some frames.

    Args:
        stamps: time stamps of all frames, in presentation order; None for none.
        packets: packets of the file, with its key frames.
        file: the file, with its time base and rate.
    """
    known = np.array([UNKNOWN if stamp is None else stamp for stamp in stamps], np.int64)
    keys = np.flatnonzero(np.isin(known, packets.stamps[packets.keys & packets.shown]))
    rate = file.stream.average_rate
    return Timeline(known, np.union1d(START, keys), float(file.stream.time_base or 1), float(rate) if rate else None)


def read_timeline(path: Path) -> Timeline:
    """Read the timeline of a file from its packets, each taken for a frame.

    Args:
        path: the file.

    Raises:
        UnreadableVideoError: the file cannot be opened.
    """
    file = VideoFile(path)
    try:
        packets = file.list_packets()
        return timeline_of(np.sort(packets.stamps[packets.shown]).tolist(), packets, file)
    finally:
        file.close()
