"""Reader of video files by torchcodec, on machines that have FFmpeg's libraries."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from video.readers.frame_times import TimedFootage, frame_times
from video.readers.reader import Frames, UnreadableVideoError, check_frame_size, check_indices
from video.readers.timeline import read_timeline

FIX = (
    "Install FFmpeg's libraries (e.g. apt-get install ffmpeg) and `pip install -U torchcodec` in the release for this "
    "torch, or use backend 'pyav', which needs neither."
)


class TorchCodecReader(TimedFootage):
    """Reader of a file in any format of the installed FFmpeg, with one decoding thread.

    torchcodec reads all packets of a file on opening, so that frame numbers are exact; times are read by PyAV.

    Args:
        path: a file that exists and is not empty.

    Raises:
        ImportError: torchcodec is not installed, does not load, or is older than 0.11 and does not turn frames upright.
        UnreadableVideoError: the file is no video, or has no frames that can be decoded and used.
    """

    def __init__(self, path: Path) -> None:
        decoder = import_decoder()
        self.path = path
        timeline = read_timeline(path)  # it also refuses addresses and lists of other files
        try:
            where = str(path.absolute())
            self._decoder = decoder(where, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
            self.length = len(self._decoder)
            height, width, _ = self._decoder[0].shape
        except Exception as error:  # any error of the system's FFmpeg and torchcodec for a damaged file
            raise UnreadableVideoError(f"{path} cannot be decoded: {error}") from error
        if not hasattr(self._decoder.metadata, "rotation"):
            raise ImportError(f"This torchcodec is older than 0.11 and does not turn frames upright. {FIX}")
        check_frame_size(height, width, path)
        self.size = (height, width)
        rate = self._decoder.metadata.average_fps
        known = len(timeline.stamps) == self.length
        self.take_times(timeline.times if known else frame_times(np.full(self.length, np.nan), rate))

    def close(self) -> None:
        """Close the file."""
        del self._decoder

    def read(self, indices: Sequence[int]) -> Frames:
        """Read the frames of some numbers, as in `VideoReader`.

        Args:
            indices: frame numbers from 0, in any order, also repeated.

        Raises:
            IndexError: a number that no frame has.
            UnreadableVideoError: a frame cannot be decoded.
        """
        check_indices(indices, self.length)
        try:
            return self._decoder.get_frames_at([int(index) for index in indices]).data.numpy()
        except Exception as error:
            raise UnreadableVideoError(f"Frames of {self.path} cannot be decoded: {error}") from error


def import_decoder() -> Any:
    """Import torchcodec's decoder.

    Raises:
        ImportError: torchcodec does not load.
    """
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, OSError, RuntimeError) as error:  # the last two if it finds no FFmpeg
        raise ImportError(f"The backend 'torchcodec' does not load: {error}. {FIX}") from error
    return VideoDecoder
