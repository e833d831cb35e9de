"""Checks of files before they are read: neither pipes nor devices, and not too large."""

import stat
from pathlib import Path

SPECIAL = "is a pipe, a socket or a device, which may never end; write what it gives to a file, and give that"


def is_special(path: Path) -> bool:
    """Whether a path is a pipe, a socket or a device, which would block or never end.

    Args:
        path: which need not exist.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # missing, or in a closed folder; ValueError: a name with a zero byte
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def read_small(path: Path, most: int) -> bytes:
    """Content of a file of limited size.

    Args:
        path: a file.
        most: bytes that it may have.

    Raises:
        ValueError: it is a pipe or a device, or larger.
        OSError: it cannot be opened.
    """
    if is_special(path):
        raise ValueError(f"{path} {SPECIAL}.")
    if (size := path.stat().st_size) > most:
        raise ValueError(f"{path} has {size:,} bytes, and such a file {most:,} at most; is it another one?")
    return path.read_bytes()
