"""Files and folders that are either whole or as they were: written beside their place, synced, and then renamed."""

import os
import re
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SPARE = 1 << 16  # bytes that a disk must have left beside the file
HOST = re.sub(r"[^\w-]", "-", socket.gethostname())
PART = re.compile(r"\.(?P<name>.+)\.(?P<host>[\w-]*)\.(?P<process>\d+)\.[0-9a-f]{32}\.part")


def write_whole(path: Path, write: Callable[[Path], object], size: int = 0) -> None:
    """Write a file so that a power cut, a kill or a full disk leaves either all of it or what was there before.

    Args:
        path: the file, whose folder is made.
        write: writes what it is given the path of.
        size: bytes that it will take at least, if they are known.

    Raises:
        OSError: there is too little room, or it cannot be written; what was there before still is.
    """
    part = beside(path)
    try:
        _make_folder(path.parent)
        _check_room(path, size)
        write(part)
        sync(part)
        os.replace(part, path)
        sync(path.parent)
    except (OSError, RuntimeError) as error:  # the latter where PyTorch's writer finds the disk full
        if isinstance(error, NoRoomError):
            raise
        raise OSError(
            f"{path} cannot be written ({str(error).splitlines()[0]}); {_free(path.parent)} of space there, and an "
            "earlier file is as it was. Is the disk full, or the folder closed? Make room, or choose another disk."
        ) from error
    finally:
        with suppress(OSError):  # where there is no such folder
            part.unlink(missing_ok=True)


def write_torch(path: Path, content: Any) -> None:
    """Write what torch can save likewise; a disk that has no room for its tensors is told before.

    Raises:
        OSError: there is too little room, or it cannot be written; what was there before still is.
    """

    def write(part: Path) -> None:
        with part.open("wb") as file:  # of a path torch would write the name into the file
            torch.save(content, file)

    write_whole(path, write, size_of(content))


def size_of(content: Any) -> int:
    """Bytes of all tensors in a checkpoint, those that share memory once."""
    storages = [one.untyped_storage() for one in tensors_in(content)]
    return sum({storage._cdata: storage.nbytes() for storage in storages}.values())


def tensors_in(content: Any) -> Iterator[Tensor]:
    """All tensors in mappings and sequences, one in another."""
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, Mapping | list | tuple):
        for item in content.values() if isinstance(content, Mapping) else content:
            yield from tensors_in(item)


def write_bytes(path: Path, data: bytes) -> None:
    """Write one of many small files that can be made again, without waiting for the disk.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    try:
        path.write_bytes(data)
    except OSError as error:
        path.unlink(missing_ok=True)  # half of a picture looks like a damaged one
        raise OSError(
            f"{path} cannot be written: {error.strerror}; does the folder exist, and is there space?"
        ) from error


class NoRoomError(OSError):
    """The disk has less room than a file takes."""


def sync(path: Path) -> None:
    """Have the content of a file, or the names in a folder, put on the disk; Windows does so for files only."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def beside(path: Path) -> Path:
    """A hidden name of this process's own beside a file or folder, to write it under before it takes its place."""
    return path.with_name(f".{path.name}.{HOST}.{os.getpid()}.{uuid.uuid4().hex}.part")


def remove_leftovers(folder: Path, name: str | None = None) -> list[Path]:
    """Remove what killed processes of this computer had begun to write.

    Args:
        folder: in which to look.
        name: of the file or folder that was being written; all by default.

    Returns:
        What was there.
    """
    found = []
    for path in folder.glob(".*.part") if folder.is_dir() else ():
        match = PART.fullmatch(path.name)
        if match and match["host"] == HOST and name in (None, match["name"]) and not is_running(int(match["process"])):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            found.append(path)
    return found


def is_running(process: int) -> bool:
    """Whether there is a process of some number on this computer; on Windows it is taken that there is."""
    if os.name == "nt":
        return True  # there os.kill would end it
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):  # the latter of a number that no process has
        return False
    except PermissionError:  # of somebody else
        return True
    return True


def _make_folder(folder: Path) -> None:
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        sync(one.parent)


def _check_room(path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if size and free < size + SPARE:
        raise NoRoomError(
            f"There is no space for {path}: it takes {size:,} bytes, and {free:,} are free. Nothing was written, and "
            "an earlier file is as it was. Make room, or choose another disk."
        )


def _free(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free:,} bytes"
    except OSError:  # the folder is gone
        return "an unknown number of bytes"
