"""Frames of a video file through PyAV and the FFmpeg in it."""

import itertools
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import av
import numpy as np
from torch.utils.data import get_worker_info

from video.readers.frame_times import TimedFootage
from video.readers.packet_list import StrayError
from video.readers.reader import Frames, UnreadableVideoError, check_frame_size, check_indices
from video.readers.rgb_frames import RGBFrames
from video.readers.timeline import timeline_of
from video.readers.video_file import DamagedError, VideoFile

logger = logging.getLogger(__name__)

LONG = 16  # frames; shorter ways are decoded through, which is as fast as to seek


class PyAVReader(TimedFootage):
    """Frames of a file in any format that FFmpeg knows: mp4, mov, avi, mkv, webm, mts, 3gp, gif and more.

    The packets of the file are listed on opening, without decoding them. Where they may not be the frames (the file is
    cut short or joined, an edit list or the header contradicts them, stamps are missing), all frames are decoded once.
    To read a frame decoding begins at the key frame before it, if time stamps tell frames apart, else at the first.

    Frames equal `frame.to_ndarray(format="rgb24")` of PyAV, upright by the display matrix. Colours are converted as
    the file says, by BT.601 where it says nothing. HDR (PQ, HLG) is converted by its matrix without tone mapping, so it
    looks flat. Colours that FFmpeg does not convert, e.g. YCgCo, make a video unreadable.

    Damage inside is found out on reading, and the log tells: the next frame that can be decoded stands in for damaged
    ones; if there is none, the last one before them does, and `length` becomes smaller. Where frames change size within
    a file, they all come in the size of the first, stretched.

    In a worker that loads data one thread decodes, otherwise as many as FFmpeg finds right for the codecs that take
    long; one where there is damage.

    Args:
        path: a file that is there and not empty.

    Raises:
        UnreadableVideoError: the file is no video, or its first frame cannot be decoded, converted or used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = VideoFile(path, threads=1 if get_worker_info() else 0)
        try:
            self._steadily(self._list_frames)
            self._rgb = RGBFrames(path, self._frame)
            check_frame_size(*self._rgb.size, path)
            self._rgb.convert(self._frame, 0)
        except BaseException:
            self._file.close()
            raise
        self.size = self._rgb.size
        self._opened_with = self.length = len(self._timeline.stamps)
        self.take_times(self._timeline.times)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, indices: Sequence[int]) -> Frames:
        """The frames of some numbers, as in `VideoReader`.

        Args:
            indices: from 0; any order, repeated ones too.

        Raises:
            IndexError: a number that no frame had when the file was opened.
            UnreadableVideoError: the file has become unreadable.
        """
        check_indices(indices, self._opened_with)
        frames = np.empty((len(indices), *self.size, 3), np.uint8)
        for place in np.argsort(indices, kind="stable"):
            self._steadily(partial(self._go_to, int(indices[place])))
            frames[place] = self._rgb.convert(self._frame, self._held[-1])
        return frames

    def _steadily(self, work: Callable[[], None]) -> None:
        """Do something, and once more with one thread where there is damage, as several lose good frames beside it."""
        try:
            work()
        except DamagedError:
            self._open(threads=1)
            work()

    def _list_frames(self) -> None:
        """List the frames by the packets, or by decoding all, and decode the first; the file is at its beginning."""
        self._packets = self._file.list_packets()
        if self._file.damage is None and self._packets.are_frames(self._file.header):
            stamps = np.sort(self._packets.stamps[self._packets.shown]).tolist()
            self._timeline = timeline_of(stamps, self._packets, self._file)
            if self._seek(0) and not (self._file.header.codec == "h264" and self._frame.interlaced_frame):
                return  # fields of H.264 may be packets of their own
        self._begin()
        stamps = [frame.pts for frame in itertools.chain([self._frame], self._frames)]
        if self._packets.corrupt[-1:].any():
            tell_cut(self.path, len(stamps), self._file.header.frames)
        self._timeline = timeline_of(stamps, self._packets, self._file)
        self._begin()

    def _open(self, threads: int) -> None:
        """Open the file anew; no frame is decoded."""
        self._file.close()
        self._file = VideoFile(self.path, threads)
        self._held = range(sys.maxsize, sys.maxsize)

    def _begin(self) -> None:
        """Open the file anew, and decode the first frame."""
        self._open(self._file.threads)
        self._frames: Iterator[av.VideoFrame] = self._file.frames()
        frame = next(self._frames, None)
        if frame is None:
            codec = self._file.stream.codec_context
            check_frame_size(max(codec.height, 1), max(codec.width, 1), self.path)
            raise UnreadableVideoError(
                f"The first frame of {self.path} cannot be decoded; the file is cut short or damaged (codec "
                f"{codec.name!r}: {self._file.damage or 'no frames'})."
            )
        self._held, self._frame = range(1), frame

    def _go_to(self, index: int) -> None:
        """Decode a frame; the last one there is, if decoding ends before."""
        index = min(index, self.length - 1)
        key = self._timeline.key_before(index)
        if (index < self._held.start or key - self._held.stop >= LONG) and not self._seek(key):
            self._begin()
        try:
            self._decode_up_to(index)
        except StrayError:
            self._begin()
            self._decode_up_to(index)

    def _decode_up_to(self, index: int) -> None:
        while self._held.stop <= index:
            frame = next(self._frames, None)
            if frame is None:
                return self._end_before(self._held.stop)
            self._held, self._frame = self._numbers_of(frame), frame
        return None

    def _seek(self, key: int) -> bool:
        """Decode a key frame; False if it is damaged, or not found by its time stamp."""
        if not self._timeline.told_apart:
            return False
        try:
            self._frames = self._file.frames_from(int(self._timeline.stamps[key]), self._packets)
            for frame in self._frames:
                number = self._timeline.find(frame.pts)
                if number == key:
                    self._held, self._frame = range(key, key + 1), frame
                    return True
                if number is None or number > key:
                    return False
        except StrayError:
            pass
        return False

    def _numbers_of(self, frame: av.VideoFrame) -> range:
        """What a frame stands for that is decoded after the present one: itself, and damaged ones between them."""
        expected = self._held.stop
        found = self._timeline.find(frame.pts)
        if found is None or found <= expected:
            return range(expected, expected + 1)
        text = "%s is damaged: frame %d stands in for those after %d"
        logger.warning(text, self.path, found, expected - 1)
        return range(expected, found + 1)

    def _end_before(self, length: int) -> None:
        """Take it that the video ends where decoding did, and decode its last frame."""
        logger.warning("%s is damaged: only %d of %d frames can be decoded", self.path, length, self._opened_with)
        self.length = length
        self._begin()
        self._go_to(length - 1)


@cache
def tell_cut(path: Path, frames: int, promised: int) -> None:
    """Log, once in a process, that a file has lost its end.

    Args:
        path: the file.
        frames: how many can be decoded.
        promised: frames by the header; 0 if it does not say.
    """
    of_all = f" of {promised}" if promised else ""
    logger.warning("%s is cut short: only %d%s frames of it are there", path, frames, of_all)
