"""Reader of a folder of pictures as a video."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from swinv2.imaging.decoding.formats import SUFFIXES
from swinv2.imaging.finding import is_image, visible
from swinv2.imaging.reading import decode, read_bytes
from video.readers.frame_names import select_frames
from video.readers.reader import (
    DEFAULT_RATE,
    Frames,
    UnreadableVideoError,
    VideoReader,
    check_frame_size,
    check_indices,
)
from video.readers.suffixes import SUFFIXES as VIDEOS


class FrameFolder(VideoReader):
    """Pictures in a folder as the frames of a video, in the order of the numbers in their names.

    Args:
        path: the folder; hidden files and those that are no frames are skipped, see `select_frames`.
        rate: frames per second of the pictures.

    Raises:
        UnreadableVideoError: there are no frames, or the first cannot be decoded or used.
        ValueError: a rate that is not above 0.
    """

    def __init__(self, path: Path, rate: float = DEFAULT_RATE) -> None:
        if not 0 < rate < float("inf"):
            raise ValueError(f"rate {rate}: a folder of frames needs frames per second above 0, e.g. {DEFAULT_RATE}.")
        names = picture_names(path)
        if not names:
            raise UnreadableVideoError(f"The folder {path} has no frames; looked for {', '.join(SUFFIXES)} pictures.")
        self.path = path
        self.rate = rate
        self._files = [path / name for name in select_frames(path, names)]
        self.length = len(self._files)
        height, width, _ = read_picture(self._files[0]).shape
        check_frame_size(height, width, path)
        self.size = (height, width)

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def read(self, indices: Sequence[int]) -> Frames:
        """Read the frames of some numbers, as in `VideoReader`.

        Args:
            indices: frame numbers from 0, in any order, also repeated.

        Raises:
            IndexError: a number that no frame has.
            UnreadableVideoError: a picture cannot be decoded, or does not have the size of the first.
        """
        check_indices(indices, self.length)
        frames = np.empty((len(indices), *self.size, 3), np.uint8)
        for place, index in enumerate(indices):
            picture = read_picture(self._files[index])
            if picture.shape[:2] != self.size:
                raise UnreadableVideoError(
                    f"The frame {self._files[index]} measures {picture.shape[:2]} pixels (height, width), the first "
                    f"one {self.size}; the frames of a video have one size."
                )
            frames[place] = picture
        return frames


def picture_names(folder: Path) -> list[str]:
    """Names of the pictures in a folder that are not hidden.

    Raises:
        UnreadableVideoError: the folder cannot be listed.
    """
    try:
        return [entry.name for entry in visible(folder) if is_frame(entry.name) and not entry.is_dir()]
    except OSError as error:
        raise UnreadableVideoError(f"The folder {folder} cannot be opened: {error.strerror}.") from error


def is_frame(name: str) -> bool:
    """Whether a file may be a frame by its suffix: a picture, and no video."""
    return is_image(name) and not name.lower().endswith(VIDEOS)


def read_picture(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read the RGB pixels of a picture.

    Raises:
        UnreadableVideoError: the picture cannot be decoded, or does not have 8 bits.
    """
    try:
        return decode(read_bytes(path), path)
    except (OSError, ValueError) as error:
        raise UnreadableVideoError(f"The frame {error}") from error
