"""Frames as upright RGB arrays."""

from pathlib import Path

import av
import numpy as np
import pytest

from video.readers.reader import UnreadableVideoError
from video.readers.rgb_frames import RGBFrames, upright

CORNERS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), CORNERS),
        ((0, 1, -1, 0), np.rot90(CORNERS, 3)),
        ((0, -1, 1, 0), np.rot90(CORNERS)),
        ((-1, 0, 0, -1), np.rot90(CORNERS, 2)),
        ((-1, 0, 0, 1), CORNERS[:, ::-1]),
        ((1, 0, 0, -1), CORNERS[::-1]),
        ((0, 1, 1, 0), CORNERS.transpose(1, 0, 2)),
        ((0, -1, -1, 0), np.rot90(CORNERS, 2).transpose(1, 0, 2)),
        ((46340, -46340, 46340, 46340), CORNERS),
        ((-46300, 46380, -46380, -46300), np.rot90(CORNERS, 3)),
    ],
)
def test_upright(matrix, expected):
    """Quarters and mirrors are those of the display matrix, of other angles the nearest quarter."""
    assert np.array_equal(upright(CORNERS, matrix), expected)


def frame(width, height, level):
    """A plain frame."""
    return av.VideoFrame.from_ndarray(np.full((height, width, 3), level, np.uint8), format="rgb24").reformat(
        format="yuv444p"
    )


def test_frames_of_other_sizes_are_stretched():
    """All frames come in the size of the first."""
    frames = RGBFrames(Path("clip.mp4"), frame(32, 16, 40))
    assert frames.size == (16, 32)
    assert frames.convert(frame(20, 44, 200), 1).shape == (16, 32, 3)
    assert abs(int(frames.convert(frame(20, 44, 200), 1).mean()) - 200) < 4


def test_colours_that_are_not_converted():
    """The error names the frame, the file, the pixels and the colours."""
    strange = frame(32, 16, 40)
    strange.colorspace = 14
    with pytest.raises(UnreadableVideoError, match=r"Frame 7 of clip\.mp4 .* pixels yuv444p, colours ICtCp"):
        RGBFrames(Path("clip.mp4"), frame(32, 16, 40)).convert(strange, 7)
