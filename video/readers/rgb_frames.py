"""Conversion of decoded frames to RGB arrays, upright and of one size."""

import math
import struct
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from video.readers.reader import UnreadableVideoError
from video.readers.video_file import reason

MATRICES = {  # colour spaces that FFmpeg reads but does not convert, by its numbers
    8: "YCgCo", 10: "BT.2020 with constant luminance", 11: "SMPTE 2085", 12: "derived from the primaries",
    13: "derived from the primaries with constant luminance", 14: "ICtCp", 15: "IPT-C2", 16: "YCgCo-R", 17: "YCgCo-R",
}  # fmt: skip


class RGBFrames:
    """Converter of a file's frames to RGB.

    Args:
        path: the file, for messages.
        first: the first frame, whose size and display matrix hold for all.

    Attributes:
        size: height and width of the converted frames, pixels.
    """

    def __init__(self, path: Path, first: av.VideoFrame) -> None:
        self.path = path
        self._reformatter = VideoReformatter()  # reuses its tables; a new one for each frame takes far longer
        self._stored = first.width, first.height
        self._matrix = display_matrix(first)
        self.size = self._stored if is_turned(self._matrix) else self._stored[::-1]

    def convert(self, frame: av.VideoFrame, number: int) -> UInt8[np.ndarray, "h w 3"]:
        """Convert a frame to RGB; the pixels are valid until the next call.

        Args:
            frame: decoded frame.
            number: number of the frame, for messages.

        Raises:
            UnreadableVideoError: FFmpeg does not convert its colours.
        """
        width, height = self._stored
        try:
            rgb = self._reformatter.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()
        except Exception as error:  # from FFmpeg, PyAV or memory
            colours = MATRICES.get(frame.colorspace, f"number {frame.colorspace}")
            raise UnreadableVideoError(
                f"Frame {number} of {self.path} cannot be converted to RGB: pixels {frame.format.name}, colours "
                f"{colours} ({reason(error)}). Encode the video anew, e.g. with BT.709 colours."
            ) from error
        return upright(rgb, self._matrix)


def display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """Display matrix (a, b, c, d) of a frame: the pixel stored at (x, y) is shown at (ax + cy, bx + dy)."""
    try:
        a, b, _, c, d, *_ = struct.unpack("=9i", bytes(frame.side_data["DISPLAYMATRIX"]))  # type: ignore[typeddict-item]
    except (KeyError, ValueError):  # no matrix, or a kind of side data that PyAV does not know
        turn = math.radians(frame.rotation)
        a, b = round(math.cos(turn)), -round(math.sin(turn))
        return a, b, -b, a
    return a, b, c, d


def is_turned(matrix: tuple[int, int, int, int]) -> bool:
    """Whether a frame is shown rotated by 90 degrees to either side."""
    a, b, _, _ = matrix
    return abs(b) > abs(a)


def upright(pixels: UInt8[np.ndarray, "_ _ 3"], matrix: tuple[int, int, int, int]) -> UInt8[np.ndarray, "_ _ 3"]:
    """Rotate pixels in steps of 90 degrees and mirror them by a display matrix.

    Args:
        pixels: pixels as stored.
        matrix: see `display_matrix`; other angles are rounded to 90 degrees.
    """
    a, b, c, d = matrix
    if is_turned(matrix):
        pixels, (across, down) = pixels.transpose(1, 0, 2), (c, b)
    else:
        across, down = a, d
    return pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
