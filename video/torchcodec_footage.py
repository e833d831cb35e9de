"""Frames of a video file through torchcodec, on machines that have FFmpeg's libraries."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from video.footage import DEFAULT_RATE, Footage, Frames, UnreadableVideoError, check_indices
from video.timeline import Timeline, read_timeline

AT_ONCE = 8  # frames that are decoded to know their times
FIX = (
    "Install FFmpeg's libraries (e.g. apt-get install ffmpeg) and `pip install -U torchcodec` in the release for this "
    "torch, or use backend 'opencv', which needs neither."
)


class TorchCodecFootage(Footage):
    """Frames of a file in any format of the installed FFmpeg; one thread decodes.

    torchcodec reads all packets of a file on opening, so that frame i is frame i.

    Args:
        path: a file that is there and not empty.

    Raises:
        ImportError: torchcodec is not installed, does not load, or is older than 0.11, which turns frames upright.
        UnreadableVideoError: the file has no frames that can be decoded.
    """

    def __init__(self, path: Path) -> None:
        decoder = import_decoder()
        self.path = path
        try:
            self._decoder = decoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
            height, width, _ = self._decoder[0].shape
        except (RuntimeError, ValueError, IndexError) as error:
            raise UnreadableVideoError(f"{path} cannot be decoded: {error}") from error
        if not hasattr(self._decoder.metadata, "rotation"):
            raise ImportError(f"This torchcodec is older than 0.11 and does not turn frames upright. {FIX}")
        self.length = len(self._decoder)
        self.rate = float(self._decoder.metadata.average_fps or DEFAULT_RATE)
        self.size = (height, width)

    def close(self) -> None:
        """Close the file."""
        del self._decoder

    def read(self, indices: Sequence[int]) -> Frames:
        """The frames of some numbers, as in `Footage`.

        Args:
            indices: from 0; any order, repeated ones too.

        Raises:
            IndexError: a number that no frame has.
            UnreadableVideoError: one of them cannot be decoded.
        """
        return self._batch(indices).data.numpy()

    def times(self, indices: Sequence[int]) -> Float64[np.ndarray, " t"]:
        """When frames begin to be shown, as in `Footage`.

        Args:
            indices: from 0; any order, repeated ones too.
        """
        check_indices(indices, self.length)
        milliseconds = self._timeline.milliseconds
        if self._timeline.told_apart and len(milliseconds) == self.length:
            return (milliseconds[np.asarray(indices)] - milliseconds[0]) / 1000
        parts = [indices[start : start + AT_ONCE] for start in range(0, len(indices), AT_ONCE)]
        seconds = np.concatenate([self._batch(part).pts_seconds.double().numpy() for part in parts])
        return seconds - self._batch([0]).pts_seconds.item()

    @cached_property
    def _timeline(self) -> Timeline:
        """As the packets have it, so that nothing is decoded for it; OpenCV may not know them, or hide some."""
        return read_timeline(self.path)

    def _batch(self, indices: Sequence[int]) -> Any:
        check_indices(indices, self.length)
        try:
            return self._decoder.get_frames_at([int(index) for index in indices])
        except (RuntimeError, IndexError) as error:
            raise UnreadableVideoError(f"Frames of {self.path} cannot be decoded: {error}") from error


def import_decoder() -> Any:
    """The class that decodes.

    Raises:
        ImportError: there is none.
    """
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, OSError, RuntimeError) as error:  # the last two if it finds no FFmpeg
        raise ImportError(f"The backend 'torchcodec' does not load: {error}. {FIX}") from error
    return VideoDecoder
