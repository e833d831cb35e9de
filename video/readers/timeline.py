"""Which frames a video file has, in the order of showing, and where decoding can begin."""

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
    """Time stamps of the frames in the order of showing, and the key frames among them.

    Attributes:
        stamps: when each frame is shown, in units of the file; `UNKNOWN` where the file does not tell.
        keys: ascending numbers of frames from which on all frames can be decoded; the first frame is one.
        unit: seconds.
        header_rate: frames per second by the header; None if it has none.
    """

    stamps: Int64[np.ndarray, " n"]
    keys: Int64[np.ndarray, " k"]
    unit: float
    header_rate: float | None

    @cached_property
    def told_apart(self) -> bool:
        """Whether each frame has a time stamp of its own, which says its place."""
        return bool((self.stamps != UNKNOWN).all() and (np.diff(self.stamps) > 0).all())

    @property
    def times(self) -> FrameTimes:
        """When the frames are shown, and their rate."""
        return frame_times(np.where(self.stamps == UNKNOWN, np.nan, self.stamps * self.unit), self.header_rate)

    def key_before(self, index: int) -> int:
        """The last key frame that is not after a frame."""
        return int(self.keys[np.searchsorted(self.keys, index, side="right") - 1])

    def find(self, stamp: int | None) -> int | None:
        """The number of the frame of a time stamp; None if stamps do not tell, or there is none of exactly that."""
        if stamp is None or not self.told_apart:
            return None
        index = int(np.searchsorted(self.stamps, stamp))
        return index if index < len(self.stamps) and self.stamps[index] == stamp else None


def timeline_of(stamps: Sequence[int | None], packets: PacketList, file: VideoFile) -> Timeline:
    """The timeline of some frames.

    Args:
        stamps: of all frames, in the order of showing; None where the file does not tell.
        packets: of the file, which say the key frames.
        file: which says the unit and a rate.
    """
    known = np.array([UNKNOWN if stamp is None else stamp for stamp in stamps], np.int64)
    keys = np.flatnonzero(np.isin(known, packets.stamps[packets.keys & packets.shown]))
    rate = file.stream.average_rate
    return Timeline(known, np.union1d(START, keys), float(file.stream.time_base or 1), float(rate) if rate else None)


def read_timeline(path: Path) -> Timeline:
    """The timeline of a file by its packets, each taken for a frame.

    Args:
        path: the file.

    Raises:
        UnreadableVideoError: it cannot be opened.
    """
    file = VideoFile(path)
    try:
        packets = file.list_packets()
        return timeline_of(np.sort(packets.stamps[packets.shown]).tolist(), packets, file)
    finally:
        file.close()
