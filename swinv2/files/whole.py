"""Atomic writing of files: to a temporary file beside the target, synced, then renamed."""

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

SPARE = 1 << 16  # bytes that must stay free on the disk
HOST = re.sub(r"[^\w-]", "-", socket.gethostname())
PART = re.compile(r"\.(?P<name>.+)\.(?P<host>[\w-]*)\.(?P<process>\d+)\.[0-9a-f]{32}\.part")


def write_whole(path: Path, write: Callable[[Path], object], size: int = 0) -> None:
    """Write a file so that a power cut, a kill or a full disk leaves either all of it or the earlier file.

    Args:
        path: the file; its folder is made.
        write: writes the content to the path that it is given.
        size: least bytes of the file, if known.

    Raises:
        OSError: there is too little room, or the file cannot be written; the earlier one stays.
    """
    part = beside(path)
    try:
        _make_folder(path.parent)
        _check_room(path, size)
        write(part)
        sync(part)
        os.replace(part, path)
        sync(path.parent)
    except (OSError, RuntimeError) as error:  # PyTorch's writer raises the latter if the disk is full
        if isinstance(error, NoRoomError):
            raise
        raise OSError(
            f"{path} cannot be written ({str(error).splitlines()[0]}); {_free(path.parent)} of space there, and an "
            "earlier file is as it was. Is the disk full, or the folder closed? Make room, or choose another disk."
        ) from error
    finally:
        with suppress(OSError):  # the folder may not exist
            part.unlink(missing_ok=True)


def write_torch(path: Path, content: Any) -> None:
    """Write an object with `torch.save`, by `write_whole`; room for its tensors is checked before.

    Raises:
        OSError: there is too little room, or the file cannot be written; the earlier one stays.
    """

    def write(part: Path) -> None:
        with part.open("wb") as file:  # given a path, torch would write its name into the file
            torch.save(content, file)

    write_whole(path, write, size_of(content))


def size_of(content: Any) -> int:
    """Bytes of all tensors in a checkpoint; shared memory counts once."""
    storages = [one.untyped_storage() for one in tensors_in(content)]
    return sum({storage._cdata: storage.nbytes() for storage in storages}.values())


def tensors_in(content: Any) -> Iterator[Tensor]:
    """All tensors in nested mappings and sequences."""
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, Mapping | list | tuple):
        for item in content.values() if isinstance(content, Mapping) else content:
            yield from tensors_in(item)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a small file that can be made again, without waiting for the disk.

    Raises:
        OSError: it cannot be written; no part of it is left.
    """
    try:
        path.write_bytes(data)
    except OSError as error:
        path.unlink(missing_ok=True)  # half a picture would look like a damaged file
        raise OSError(
            f"{path} cannot be written: {error.strerror}; does the folder exist, and is there space?"
        ) from error


class NoRoomError(OSError):
    """Error for a disk with less room than a file takes."""


def sync(path: Path) -> None:
    """Flush the content of a file, or the entries of a folder, to the disk; on Windows, of files only."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def beside(path: Path) -> Path:
    """Hidden temporary path beside a file or folder, unique to this process."""
    return path.with_name(f".{path.name}.{HOST}.{os.getpid()}.{uuid.uuid4().hex}.part")


def remove_leftovers(folder: Path, name: str | None = None) -> list[Path]:
    """Remove temporary files that killed processes of this computer have left.

    Args:
        folder: to search.
        name: of the file or folder that was being written; any by default.

    Returns:
        The removed paths.
    """
    found = []
    for path in folder.glob(".*.part") if folder.is_dir() else ():
        match = PART.fullmatch(path.name)
        if match and match["host"] == HOST and name in (None, match["name"]) and not is_running(int(match["process"])):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            found.append(path)
    return found


def is_running(process: int) -> bool:
    """Whether a process of this ID runs on this computer; always True on Windows."""
    if os.name == "nt":
        return True  # os.kill would end the process there
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):  # the latter for an impossible ID
        return False
    except PermissionError:  # a process of another user
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
