"""Opening a video, whatever it is stored in."""

from pathlib import Path

from video.footage import DEFAULT_RATE, Footage, UnreadableVideoError
from video.frame_folder import FrameFolder
from video.opencv_footage import OpenCVFootage
from video.torchcodec_footage import TorchCodecFootage

__all__ = ["BACKENDS", "SUFFIXES", "Footage", "UnreadableVideoError", "open_footage"]

BACKENDS = {"opencv": OpenCVFootage, "torchcodec": TorchCodecFootage}
SUFFIXES = (".mp4", ".avi", ".webm", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts")


def open_footage(path: Path, backend: str = "opencv", rate: float = DEFAULT_RATE) -> Footage:
    """A video to take frames from.

    Args:
        path: a video file, or a folder of pictures that are its frames.
        backend: what decodes files: "opencv", or "torchcodec" where it is installed.
        rate: frames per second of folders; files tell theirs.

    Raises:
        ImportError: the backend does not load.
        UnreadableVideoError: the file or folder is missing or empty, or has no frame that can be decoded.
        ValueError: a backend that does not exist, or a rate that is not above 0.
    """
    if backend not in BACKENDS:
        raise ValueError(f"There is no backend {backend!r}; use one of {', '.join(map(repr, BACKENDS))}.")
    try:
        empty = not path.stat().st_size
    except OSError as error:
        raise UnreadableVideoError(f"{path} cannot be opened: {error.strerror}.") from error
    if path.is_dir():
        return FrameFolder(path, rate)
    if empty:
        raise UnreadableVideoError(f"{path} is empty.")
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:  # OpenCV would crash
        raise UnreadableVideoError(f"The name {str(path)!r} is not UTF-8; rename the file.") from error
    return BACKENDS[backend](path)
