"""What every source of frames can do, whatever decodes it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float64, UInt8

Frames = UInt8[np.ndarray, "t h w 3"]
DEFAULT_RATE = 30.0  # frames per second where nothing tells
MOST_PIXELS = 36_000_000  # of a frame; 8K has 35 million, and a clip of 32 such takes 3 GiB
MOST_OBLONG = 64  # long edge in short ones; brought to a usual short edge, a longer one would fill the memory


class UnreadableVideoError(OSError):
    """A video that is missing, empty, cut short, damaged, without pictures, or in a format that nobody here decodes."""


def check_frame_size(height: int, width: int, path: Path) -> None:
    """See that frames have a size that can be used.

    Args:
        height: of a frame, pixels.
        width: likewise.
        path: of the video, for the message.

    Raises:
        UnreadableVideoError: they have not.
    """
    if height * width > MOST_PIXELS or max(height, width) > MOST_OBLONG * min(height, width):
        raise UnreadableVideoError(
            f"The frames of {path} measure {height} x {width} pixels (height, width); {MOST_PIXELS} pixels and a long "
            f"edge of {MOST_OBLONG} short ones are the most that is read. Crop or shrink them first."
        )


class VideoReader(ABC):
    """The frames of one video by their number, upright and in RGB.

    Frame i is the i-th picture in the order of showing, however it is read. A file that promises more frames than it
    has is found out on opening, damage inside on reading: PyAV's reader puts other frames in place of damaged ones (see
    `PyAVReader`), elsewhere a video is unreadable when a damaged frame is asked for.

    Attributes:
        length: number of frames, 1 or more; it may become smaller in `read`.
        rate: frames per second; where they last unequally long, the mean.
        size: height and width, pixels.
    """

    length: int
    rate: float
    size: tuple[int, int]

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Give back open files."""

    @abstractmethod
    def read(self, indices: Sequence[int]) -> Frames:
        """The frames of some numbers, in the order asked for; ascending is fastest.

        Args:
            indices: from 0; any order, repeated ones too.

        Raises:
            IndexError: a number that no frame has.
            UnreadableVideoError: one of them cannot be decoded, and no other one stands in for it.
        """

    def times(self, indices: Sequence[int]) -> Float64[np.ndarray, " t"]:
        """When frames begin to be shown, in seconds after the first.

        Args:
            indices: from 0; any order, repeated ones too.
        """
        return np.asarray(indices, np.float64) / self.rate


def check_indices(indices: Sequence[int], length: int) -> None:
    """See that all of some numbers are those of frames.

    Args:
        indices: what is asked for.
        length: number of frames.

    Raises:
        IndexError: one is not, or there are none.
    """
    if not len(indices):
        raise IndexError("No frames are asked for; give the number of one at least.")
    if not 0 <= min(indices) <= max(indices) < length:
        wrong = next(index for index in indices if not 0 <= index < length)
        raise IndexError(f"There is no frame {wrong}; the video has the frames 0 to {length - 1}.")
