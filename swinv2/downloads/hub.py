"""Files of the Hugging Face hub, with a time limit for finding them and a check of their digests."""

import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import TypeVar

from ..files.whole import NoRoomError
from .digests import git_sha1, sha256

T = TypeVar("T")

HUB = "hf-hub:"
ANSWER = 12.0  # seconds to find a file; the hub's own library would try for minutes


def from_hub(repository: str, filename: str) -> Path | None:
    """File of a repository, downloaded or resumed if it is not in the hub's cache; None if there is no such file.

    Args:
        repository: owner/name.
        filename: path in the repository.

    Raises:
        FileNotFoundError: there is no such repository.
        ConnectionError: the hub cannot be reached, and the file is not in the cache.
        NoRoomError: the disk has no room for it.
        ValueError: the file in the cache is not what was published.
    """
    from huggingface_hub import DryRunFileInfo, errors, hf_hub_download

    def find(local_files_only: bool = False) -> DryRunFileInfo:
        return hf_hub_download(repository, filename, dry_run=True, local_files_only=local_files_only)

    name = f"{HUB}{repository}".rstrip("/")
    try:
        try:
            found = _within(ANSWER, find)
        except TimeoutError:
            found = find(local_files_only=True)
        path = Path(found.local_path)
        if not path.exists():
            _check_room(path, found.file_size or 0)
            path = Path(hf_hub_download(repository, filename))
    except NoRoomError:
        raise
    except errors.LocalEntryNotFoundError as error:
        raise ConnectionError(
            f"{name} cannot be downloaded, since the hub does not answer; check the network, or give a file."
        ) from error
    except errors.EntryNotFoundError:
        return None
    except (errors.HfHubHTTPError, errors.HFValidationError) as error:
        raise FileNotFoundError(f"{name} is not on the hub ({_line(error)}); write {HUB}owner/name.") from error
    except Exception as error:  # whatever the hub's library and its dependencies raise for names and networks
        raise ConnectionError(
            f"{filename} of {name} cannot be downloaded ({_line(error)}); check name and network, or give a file."
        ) from error
    _check_published(path, name)
    return path


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Result of a call in a thread, which is abandoned after a time limit.

    Raises:
        TimeoutError: the call takes longer.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except Exception as error:  # raised again by `outcome.result`
            outcome.set_exception(error)

    Thread(target=run, daemon=True).start()
    return outcome.result(seconds)


def _check_room(path: Path, size: int) -> None:
    free = shutil.disk_usage(next(folder for folder in path.parents if folder.exists())).free
    if size > free:
        raise NoRoomError(
            f"There is no space for {path}: it takes {size:,} bytes, and {free:,} are free. Make room, or set HF_HOME "
            "to a folder on another disk."
        )


def _check_published(path: Path, name: str) -> None:
    """Check a file by its ETag, which is its name in the cache: SHA-256 of large files, git's SHA-1 of small ones."""
    etag = Path(os.readlink(path)).name if path.is_symlink() else ""  # unknown without links, as on Windows
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", etag):
        return
    found = sha256(path) if len(etag) == 64 else git_sha1(path)
    if found != etag:
        raise ValueError(
            f"{path} is not what {name} has published: its digest is {found} in place of {etag}. It was altered or "
            f"damaged since; delete {os.path.realpath(path)} to download it anew."
        )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
