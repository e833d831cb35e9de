"""Choice of the reader of a video."""

import stat
from pathlib import Path

from video.readers.frame_folder import FrameFolder
from video.readers.pyav_reader import PyAVReader
from video.readers.reader import DEFAULT_RATE, UnreadableVideoError, VideoReader
from video.readers.torchcodec_reader import TorchCodecReader
from video.readers.video_file import reason

__all__ = ["BACKENDS", "UnreadableVideoError", "VideoReader", "check_backend", "open_video", "read_first_frame"]

BACKENDS = {"pyav": PyAVReader, "torchcodec": TorchCodecReader}


def open_video(path: Path, backend: str = "pyav", rate: float = DEFAULT_RATE) -> VideoReader:
    """Open a video for reading frames.

    Args:
        path: a video file, or a folder of its frames as pictures.
        backend: decoder of files: "pyav", or "torchcodec" if installed.
        rate: frames per second of folders; files have their own.

    Raises:
        ImportError: the backend does not load.
        UnreadableVideoError: the file or folder is missing or empty, or has no frame that can be decoded.
        ValueError: a backend that does not exist, or a rate that is not above 0.
    """
    check_backend(backend)
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise UnreadableVideoError(f"{path} cannot be opened: {reason(error)}.") from error
    if stat.S_ISDIR(found.st_mode):
        return FrameFolder(path, rate)
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableVideoError(f"{path} is a device or pipe, which is not read; give a file.")
    if not found.st_size:
        raise UnreadableVideoError(f"{path} is empty.")
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:  # results could not be named after it
        raise UnreadableVideoError(f"The name {str(path)!r} is not UTF-8; rename the file.") from error
    return BACKENDS[backend](path)


def read_first_frame(path: Path, backend: str) -> None:
    """Raise unless a video can be opened and its first frame read.

    Raises:
        UnreadableVideoError: the video or its first frame cannot be read.
    """
    with open_video(path, backend) as reader:
        reader.read([0])


def check_backend(name: str) -> None:
    """Raise unless there is a backend of this name.

    Raises:
        ValueError: there is none.
    """
    if name == "opencv":
        raise ValueError("The backend 'opencv' is no more: it does not decode all files rightly. Use 'pyav' instead.")
    if name not in BACKENDS:
        raise ValueError(f"There is no backend {name!r}; use one of {', '.join(map(repr, BACKENDS))}.")
