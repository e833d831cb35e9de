"""Interface that all readers of videos share; a new reader is named in `BACKENDS` of `opening.py`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float64, UInt8

Frames = UInt8[np.ndarray, "t h w 3"]
DEFAULT_RATE = 30.0  # frames per second if it is unknown
MOST_PIXELS = 36_000_000  # in a frame; 8K has 35 million, and a clip of 32 such frames takes 3 GiB
MOST_OBLONG = 64  # greatest aspect ratio; resized to a usual short edge, a longer frame would fill the memory


class UnreadableVideoError(OSError):
    """Error for a video that is missing, empty, cut short, damaged, without pictures, or in an unknown format."""


def check_frame_size(height: int, width: int, path: Path) -> None:
    """Raise if frames are too large or too oblong.

    Args:
        height: height of a frame, pixels.
        width: width of a frame, pixels.
        path: path of the video, for the message.

    Raises:
        UnreadableVideoError: the size is beyond the limits.
    """
    if height * width > MOST_PIXELS or max(height, width) > MOST_OBLONG * min(height, width):
        raise UnreadableVideoError(
            f"The frames of {path} measure {height} x {width} pixels (height, width); {MOST_PIXELS} pixels and a long "
            f"edge of {MOST_OBLONG} short ones are the most that is read. Crop or shrink them first."
        )


class VideoReader(ABC):
    """Reader of one video's frames by number, upright and in RGB.

    Frame i is the i-th picture in presentation order with every reader. A file with fewer frames than its header claims
    is noticed on opening, damage inside on reading: PyAV's reader replaces damaged frames by others (see `PyAVReader`);
    other readers raise when a damaged frame is read.

    Attributes:
        length: number of frames, 1 or more; it may become smaller in `read`.
        rate: frames per second; the mean, if durations differ.
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
        """Close open files."""

    @abstractmethod
    def read(self, indices: Sequence[int]) -> Frames:
        """Read the frames of some numbers, in the order of `indices`; ascending is fastest.

        Args:
            indices: frame numbers from 0, in any order, also repeated.

        Raises:
            IndexError: a number that no frame has.
            UnreadableVideoError: a frame cannot be decoded, and is not replaced by another.
        """

    def times(self, indices: Sequence[int]) -> Float64[np.ndarray, " t"]:
        """Presentation times of frames, in seconds after the first.

        Args:
            indices: frame numbers from 0, in any order, also repeated.
        """
        return np.asarray(indices, np.float64) / self.rate


def check_indices(indices: Sequence[int], length: int) -> None:
    """Raise unless all numbers are those of frames.

    Args:
        indices: frame numbers.
        length: number of frames.

    Raises:
        IndexError: a number is out of range, or there are none.
    """
    if not len(indices):
        raise IndexError("No frames are asked for; give the number of one at least.")
    if not 0 <= min(indices) <= max(indices) < length:
        wrong = next(index for index in indices if not 0 <= index < length)
        raise IndexError(f"There is no frame {wrong}; the video has the frames 0 to {length - 1}.")
