"""Video files of pictures."""

from collections.abc import Iterable
from pathlib import Path

import cv2

from swinv2.imaging.drawing import Picture

MOST_TICKS = 65535  # time base of MPEG-4, per second; frame times are multiples of it
DECIMALS = 3  # of a frame rate, as OpenCV writes it


def write_video(path: Path, pictures: Iterable[Picture], size: tuple[int, int], rate: float) -> None:
    """Encode RGB pictures as MPEG-4 one after the other; no file is left if that fails.

    Args:
        path: the file, .mp4.
        pictures: the frames; a generator may yield more than fit into memory.
        size: height and width of the frames, pixels; even numbers.
        rate: frames per second; stored with three decimals, large rates with fewer.

    Raises:
        OSError: the file cannot be written, or not all of it.
    """
    codec = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path.absolute()), cv2.CAP_FFMPEG, codec, encodable(rate), size[::-1])
    if not writer.isOpened():
        raise OSError(
            f"{path} cannot be written with {rate:g} frames per second of {size} pixels (height, width); does the "
            "folder exist, and is it allowed?"
        )
    count, whole = 0, False
    try:
        for picture in pictures:
            writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            count += 1
        writer.release()
        whole = frames_in(path) == count
    finally:
        writer.release()
        if not whole:
            path.unlink(missing_ok=True)
    if not whole:
        raise OSError(f"OpenCV could not write all {count} frames of {path}; is the disk full?")


def encodable(rate: float) -> float:
    """Nearest frame rate that MPEG-4 can store: its digits without the decimal point must fit 16 bits."""
    return round(rate, next((some for some in range(DECIMALS, 0, -1) if rate * 10**some < MOST_TICKS), 0))


def frames_in(path: Path) -> int:
    """Number of frames by a file's header."""
    written = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    count = int(written.get(cv2.CAP_PROP_FRAME_COUNT))
    written.release()
    return count
