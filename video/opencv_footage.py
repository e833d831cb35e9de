"""Frames of a video file through OpenCV and the FFmpeg in it."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float64, UInt8
from torch.utils.data import get_worker_info

from video.footage import DEFAULT_RATE, Footage, Frames, UnreadableVideoError, check_indices
from video.timeline import START, Timeline, read_timeline

logger = logging.getLogger(__name__)

LONG = 32  # frames; OpenCV begins 16 before the place that it seeks, so shorter ways are decoded through


class OpenCVFootage(Footage):
    """Frames of a file in any format that OpenCV's FFmpeg knows: mp4, mov, avi, mkv, webm and more.

    The packets of the file are counted on opening, without decoding them. If that is what the header says, it is the
    number of frames; if not (the file is cut short, an edit list hides frames, the header is wrong or only knows the
    duration), all frames are decoded once, to count them.

    Colours are converted as the file says, by BT.601 where it says nothing, as everything on FFmpeg does: frames of 8
    bits equal PyAV's. OpenCV does not always seek the frame that it is told, so it only seeks over long ways, in files
    where the time of a frame tells which one it is; otherwise it decodes all frames up to those asked for.

    Damage inside is found out on reading, and the log tells: the next frame that can be decoded stands in for damaged
    ones; if there is none, the last one before them does, and `length` becomes smaller. Where frames change size within
    a file, which OpenCV does not tell, they all come in the size of the first, stretched.

    In a worker that loads data one thread decodes, otherwise as many as FFmpeg finds right.

    Args:
        path: a file that is there and not empty.

    Raises:
        UnreadableVideoError: the first frame cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._threads = 1 if get_worker_info() else 0
        self._at = 0  # number of the frame that is grabbed; that of no frame behind the end
        self._rewind()
        self._timeline, self._told_by_time = self._read_timeline()
        self._opened_with = self.length = len(self._timeline.milliseconds)
        self.rate = self._timeline.rate or self._rate_in_header()
        self.size = (self._number(cv2.CAP_PROP_FRAME_HEIGHT), self._number(cv2.CAP_PROP_FRAME_WIDTH))

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def read(self, indices: Sequence[int]) -> Frames:
        """The frames of some numbers, as in `Footage`.

        Args:
            indices: from 0; any order, repeated ones too.

        Raises:
            IndexError: a number that no frame had when the file was opened.
            UnreadableVideoError: the file has become unreadable.
        """
        check_indices(indices, self._opened_with)
        frames = np.empty((len(indices), *self.size, 3), np.uint8)
        for place in np.argsort(indices, kind="stable"):
            self._go_to(int(indices[place]))
            self._retrieve(frames[place])
        return frames

    def times(self, indices: Sequence[int]) -> Float64[np.ndarray, " t"]:
        """When frames begin to be shown, as in `Footage`.

        Args:
            indices: from 0; any order, repeated ones too.
        """
        if not self._timeline.told_apart:
            return super().times(indices)
        milliseconds = self._timeline.milliseconds
        return (milliseconds[np.asarray(indices)] - milliseconds[0]) / 1000

    def _go_to(self, index: int) -> None:
        """Grab a frame; the last one there is, if decoding ends before."""
        index = min(index, self.length - 1)
        key = self._timeline.key_before(index)
        if key - (self._at if self._at <= index else 0) > LONG:
            self._seek(key)
        if self._at > index:
            self._rewind()
        while self._at < index:
            if not self._grab():
                return self._end_before(self._at + 1)
            self._at = self._number_after(self._at)
        return None

    def _grab(self) -> bool:
        """Grab the next frame; past damage, if time then tells which one it is."""
        tries = self.length - self._at if self._told_by_time else 1
        return any(self._capture.grab() for _ in range(tries))

    def _number_after(self, before: int) -> int:
        """The number of a frame just grabbed after another one; damaged ones may lie between them."""
        found = self._timeline.find(self._now()) if self._told_by_time else None
        if found is None or found <= before + 1:
            return before + 1
        logger.warning("%s is damaged: frame %d stands in for those after %d", self.path, found, before)
        return found

    def _seek(self, key: int) -> None:
        """Go to some frame before a key frame, or to that, if OpenCV finds one; otherwise to the first."""
        seconds = self._timeline.milliseconds[key] / 1000
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, math.floor(seconds * self._capture.get(cv2.CAP_PROP_FPS)))
        at = self._timeline.find(self._now()) if self._capture.grab() else None
        if at is None or at > key:
            self._rewind()
        else:
            self._at = at

    def _rewind(self) -> None:
        """Open the file, again if need be, and grab the first frame."""
        parameters = [cv2.CAP_PROP_N_THREADS, self._threads]
        self._capture = cv2.VideoCapture(str(self.path.absolute()), cv2.CAP_FFMPEG, parameters)
        if not self._capture.isOpened():
            raise UnreadableVideoError(f"{self.path} is cut short, damaged, has sound only, or is no video.")
        if not self._capture.grab():
            raise UnreadableVideoError(
                f"The first frame of {self.path} cannot be decoded; the file is cut short or damaged, or OpenCV has no "
                f"decoder for it (codec {fourcc(self._number(cv2.CAP_PROP_FOURCC))!r}; torchcodec may have one)."
            )
        self._at = 0

    def _retrieve(self, frame: UInt8[np.ndarray, "h w 3"]) -> None:
        """Convert the grabbed frame and put it into an array."""
        found, pixels = self._capture.retrieve()
        if not found or pixels.shape != frame.shape:
            size = "no picture" if pixels is None else f"{pixels.shape[:2]} pixels"
            raise UnreadableVideoError(f"Frame {self._at} of {self.path} has {size}, not {self.size} (height, width).")
        cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=frame)

    def _end_before(self, length: int) -> None:
        """Take it that the video ends where decoding did, and grab its last frame."""
        logger.warning("%s is damaged: only %d of %d frames can be decoded", self.path, length, self._opened_with)
        self.length = length
        self._rewind()
        self._go_to(length - 1)

    def _read_timeline(self) -> tuple[Timeline, bool]:
        """The times of all frames, and whether a frame is told by its time."""
        packets = read_timeline(self.path)
        if len(packets.milliseconds) != self._number(cv2.CAP_PROP_FRAME_COUNT):
            return Timeline(self._decode_times(), START), False
        if packets.told_apart and packets.milliseconds[0] == self._now():
            return packets, True
        return replace(packets, keys=START), False  # no seeking where nobody would know the frame

    def _decode_times(self) -> Float64[np.ndarray, " n"]:
        times = [self._now()]
        while self._capture.grab():
            times.append(self._now())
        self._at = len(times)  # behind the end, where there is no frame to retrieve
        return np.asarray(times, np.float64)

    def _rate_in_header(self) -> float:
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        return rate if math.isfinite(rate) and rate > 0 else DEFAULT_RATE

    def _now(self) -> float:
        return self._capture.get(cv2.CAP_PROP_POS_MSEC)

    def _number(self, what: int) -> int:
        return int(self._capture.get(what))


def fourcc(code: int) -> str:
    """The four letters of a codec's code."""
    return code.to_bytes(4, "little", signed=code < 0).decode("ascii", "replace")
