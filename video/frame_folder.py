"""A folder of pictures as a video."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from swinv2.images import SUFFIXES, UnreadableImageError, decode
from video.footage import DEFAULT_RATE, Footage, Frames, UnreadableVideoError, check_indices


class FrameFolder(Footage):
    """The pictures in a folder as the frames of a video, by the numbers in their names: img_2.jpg before img_10.jpg.

    Args:
        path: the folder; hidden files and those that are no pictures do not count.
        rate: frames per second that the pictures were taken at.

    Raises:
        UnreadableVideoError: there are no pictures, or the first cannot be decoded.
        ValueError: a rate that is not above 0.
    """

    def __init__(self, path: Path, rate: float = DEFAULT_RATE) -> None:
        if not rate > 0:
            raise ValueError(f"rate {rate}: a folder of frames needs frames per second above 0, e.g. {DEFAULT_RATE}.")
        names = [file.name for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != "."]
        if not names:
            raise UnreadableVideoError(f"The folder {path} has no frames; looked for {', '.join(SUFFIXES)} pictures.")
        self.path = path
        self.rate = rate
        self.length = len(names)
        self._files = [path / name for name in sorted(names, key=by_number)]
        height, width, _ = read_picture(self._files[0]).shape
        self.size = (height, width)

    def close(self) -> None:
        """Nothing: no file stays open."""

    def read(self, indices: Sequence[int]) -> Frames:
        """The frames of some numbers, as in `Footage`.

        Args:
            indices: from 0; any order, repeated ones too.

        Raises:
            IndexError: a number that no frame has.
            UnreadableVideoError: a picture cannot be decoded, or has not the size of the first.
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


def read_picture(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """RGB pixels of a picture.

    Raises:
        UnreadableVideoError: it cannot be decoded.
    """
    try:
        return decode(path.read_bytes(), path)
    except (OSError, UnreadableImageError) as error:
        raise UnreadableVideoError(f"The frame {error}") from error


def by_number(name: str) -> list[str | int]:
    """A key that sorts numbers in names by their value."""
    return [int(part) if part.isdecimal() else part for part in re.split("([0-9]+)", name)]
