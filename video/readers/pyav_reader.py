"""Reader of video files by PyAV and its own FFmpeg."""

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

LONG = 16  # frames from which seeking is faster than decoding on


class PyAVReader(TimedFootage):
    """Reader of a file in any format that FFmpeg knows: mp4, mov, avi, mkv, webm, mts, 3gp, gif and more.

    Packets are listed on opening, without decoding. If they may not be the frames (the file is cut short or joined, an
    edit list or the header contradicts them, time stamps are missing), all frames are decoded once. To read a frame,
    decoding begins at the key frame before it if time stamps are unique, else at the first frame.

    Frames equal `frame.to_ndarray(format="rgb24")` of PyAV, upright by the display matrix. Colours are converted by the
    file's colour space, by default BT.601. HDR (PQ, HLG) is converted by its matrix without tone mapping, so it looks
    flat. A colour space that FFmpeg does not convert, e.g. YCgCo, makes a video unreadable.

    Damage inside is noticed on reading, and logged: damaged frames are replaced by the next one that can be decoded; if
    there is none, by the last one before them, and `length` becomes smaller. Frames of another size than the first are
    resized to it.

    In a data-loading worker one thread decodes, otherwise as many as FFmpeg chooses for slow codecs; one after damage.

    Args:
        path: a file that exists and is not empty.

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
        """Read the frames of some numbers, as in `VideoReader`.

        Args:
            indices: frame numbers from 0, in any order, also repeated.

        Raises:
            IndexError: a number beyond the frames at opening.
            UnreadableVideoError: the file has become unreadable.
        """
        check_indices(indices, self._opened_with)
        frames = np.empty((len(indices), *self.size, 3), np.uint8)
        for place in np.argsort(indices, kind="stable"):
            self._steadily(partial(self._go_to, int(indices[place])))
            frames[place] = self._rgb.convert(self._frame, self._held[-1])
        return frames

    def _steadily(self, work: Callable[[], None]) -> None:
        """Run a function, and after damage again with one thread, as several lose intact frames beside it."""
        try:
            work()
        except DamagedError:
            self._open(threads=1)
            work()

    def _list_frames(self) -> None:
        """List the frames by packets, or by decoding all, and decode the first; the file must be at its beginning."""
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
        """Reopen the file, without decoding a frame."""
        self._file.close()
        self._file = VideoFile(self.path, threads)
        self._held = range(sys.maxsize, sys.maxsize)

    def _begin(self) -> None:
        """Reopen the file, and decode the first frame."""
        self._open(self._file.threads)
        self._frames: Iterator[av.VideoFrame] = self._file.frames()
        frame = next(self._frames, None)
        if frame is None:
            codec = self._file.stream.codec_context
            check_frame_size(max(codec.height, 1), max(codec.width, 1), self.path)
            raise UnreadableVideoError(
                f"The first frame of {self.path} cannot be decoded; the file is cut short or damaged (codec "
                f"{self._file.codec!r}: {self._file.damage or 'no frames'})."
            )
        self._held, self._frame = range(1), frame

    def _go_to(self, index: int) -> None:
        """Decode a frame, or the last one if decoding ends before it."""
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
        """Seek to a key frame and decode it; False if it is damaged or not found by its time stamp."""
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
        """Numbers that the next decoded frame stands for: its own, and those of damaged frames before it."""
        expected = self._held.stop
        found = self._timeline.find(frame.pts)
        if found is None or found <= expected:
            return range(expected, expected + 1)
        text = "%s is damaged: frame %d stands in for those after %d"
        logger.warning(text, self.path, found, expected - 1)
        return range(expected, found + 1)

    def _end_before(self, length: int) -> None:
        """Shorten the video to the frames that were decoded, and decode its last frame."""
        logger.warning("%s is damaged: only %d of %d frames can be decoded", self.path, length, self._opened_with)
        self.length = length
        self._begin()
        self._go_to(length - 1)


@cache
def tell_cut(path: Path, frames: int, promised: int) -> None:
    """Log, once in a process, that a file is cut short.

    Args:
        path: the file.
        frames: number of frames that can be decoded.
        promised: number of frames in the header; 0 for none.
    """
    of_all = f" of {promised}" if promised else ""
    logger.warning("%s is cut short: only %d%s frames of it are there", path, frames, of_all)
