"""When the frames of a file are shown and where decoding can begin, found without decoding."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float64, Int64

START = np.zeros(1, np.int64)


@dataclass(frozen=True)
class Timeline:
    """Times of the frames in the order of showing, and the key frames among them.

    Attributes:
        milliseconds: as OpenCV tells them, which is how a frame is known again.
        keys: ascending numbers of frames from which on all frames can be decoded; the first frame is one.
    """

    milliseconds: Float64[np.ndarray, " n"]
    keys: Int64[np.ndarray, " k"]

    @property
    def told_apart(self) -> bool:
        """Whether each frame has a time of its own."""
        return bool(np.all(np.diff(self.milliseconds) > 0))

    @property
    def rate(self) -> float | None:
        """Frames per second, on average; None where times do not tell."""
        duration = self.milliseconds[-1] - self.milliseconds[0]
        if not (duration > 0 and self.told_apart):
            return None
        return round(1000 * (len(self.milliseconds) - 1) / float(duration), 6)

    def key_before(self, index: int) -> int:
        """The last key frame that is not after a frame."""
        return int(self.keys[np.searchsorted(self.keys, index, side="right") - 1])

    def find(self, milliseconds: float) -> int | None:
        """The number of the frame of a time; None if there is none of exactly that time."""
        index = int(np.searchsorted(self.milliseconds, milliseconds))
        found = index < len(self.milliseconds) and self.milliseconds[index] == milliseconds
        return index if found else None


def read_timeline(path: Path) -> Timeline:
    """What the packets in a file say; files that cannot be opened have none.

    Args:
        path: the file.
    """
    packets = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])  # undecoded
    times, keys = [], []
    while packets.grab():
        times.append(packets.get(cv2.CAP_PROP_POS_MSEC))
        keys.append(packets.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) > 0)
    packets.release()
    order = np.argsort(times, kind="stable")  # packets lie in the order of decoding
    keyed = np.flatnonzero(np.asarray(keys, bool)[order])
    return Timeline(np.asarray(times, np.float64)[order], np.union1d(START, keyed))
