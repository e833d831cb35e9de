"""Download of files from the web, resumed where an earlier try broke off."""

import errno
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from ..files.whole import NoRoomError, sync
from .addresses import LONGEST, Answer
from .digests import record, sha256

logger = logging.getLogger(__name__)

_HEAD = 512  # bytes from which a file's kind is recognized
_PROGRESS = 1 << 20  # bytes that a try must have received for another one to follow


def download(address: str, path: Path, digest: str, check: Callable[[Path], object]) -> None:
    """Download the file at an address; of several processes one does, and the others wait for it.

    A partial file is kept, and continued by the next try, if the server identifies versions (ETag, Last-Modified).

    Args:
        address: http:// or https://.
        path: of the result; its SHA-256 is recorded beside it.
        digest: beginning of its SHA-256; "" if unknown.
        check: called with a partial file once its first bytes are there; raises ValueError if they are of no use.

    Raises:
        ConnectionError: the file cannot be downloaded.
        NoRoomError: the disk has no room for it.
        ValueError: `check` rejects it.
    """
    from filelock import FileLock

    try:
        (path.parent / ".locks").mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / ".locks" / f"{path.name}.lock"):
            if not path.exists():
                logger.info("downloading %s to %s", address, path)
                _keep(*_fetch(address, path, check), path, digest)
    except NoRoomError:
        raise
    except OSError as error:
        shown = re.sub(r"(?<=//)[^/]*@", "", address)  # without a password
        raise ConnectionError(
            f"{shown} cannot be downloaded ({error}); check address and network, or copy the file to {path}."
        ) from error


@dataclass(frozen=True)
class _Transfer:
    """Transfer of a file.

    Attributes:
        answer: of the server.
        length: bytes of the whole file, None if not declared.
        version: identifies the version of the file at the address; "" if unknown, and it cannot be resumed.
        part: partial file.
        start: bytes of the partial file at the start.
    """

    answer: Answer
    length: int | None
    version: str
    part: Path
    start: int = 0


def _keep(part: Path, published: str, path: Path, digest: str) -> None:
    """Check the SHA-256 of a complete file, record it, and give the file its final name."""
    found, expected = sha256(part), published or digest
    if not found.startswith(expected):
        part.unlink()
        raise ConnectionError(
            f"its SHA-256 should begin with {expected}, as its name or its server says, and is {found}: it was altered "
            "or damaged on the way, or is named by something else"
        )
    sync(part)
    record(path, found)
    os.replace(part, path)
    sync(path.parent)
    for left in path.parent.glob(f".{escape(path.name)}.*.part"):  # of earlier versions
        left.unlink(missing_ok=True)


def _fetch(address: str, path: Path, check: Callable[[Path], object]) -> tuple[Path, str]:
    """Complete file under a temporary name, and its SHA-256 if the server publishes it."""
    while True:
        transfer = _start(address, path)
        try:
            with _left_whole(transfer):
                _save(transfer, path.name, check)
            return transfer.part, transfer.answer.digest
        except NoRoomError:
            raise
        except OSError as error:
            here = transfer.part.stat().st_size if transfer.part.exists() else 0
            if not here:
                raise
            if here - transfer.start < _PROGRESS:
                raise ConnectionError(f"{error}; the next try goes on from byte {here:,}") from error
            logger.warning("%s broke off: %s; going on from byte %s", address, error, f"{here:,}")


def _start(address: str, path: Path) -> _Transfer:
    """Transfer of a file, or of its rest if a partial file is there."""
    whole = _transfer(Answer(address), path)
    here = whole.part.stat().st_size if whole.part.exists() else 0
    if not whole.version or not 0 < here < (whole.length or 0):
        return whole
    whole.answer.close()
    try:
        rest = Answer(address, {"Range": f"bytes={here}-", "If-Range": whole.version})
    except ConnectionError:  # a server without range requests
        return _transfer(Answer(address), path)
    promised = f"bytes {here}-{(whole.length or 0) - 1}/{whole.length}"
    if (rest.status, rest.headers.get("Content-Range"), _content_version(rest)) == (206, promised, whole.version):
        return _Transfer(rest, whole.length, whole.version, whole.part, here)
    rest.close()
    return _transfer(Answer(address), path)


def _transfer(answer: Answer, path: Path) -> _Transfer:
    """Transfer by the headers of a response, checked.

    Raises:
        ConnectionError: the server does not send the plain file.
        NoRoomError: the disk has no room for it.
    """
    encoding, lengths = answer.headers.get("Content-Encoding", ""), answer.headers.get_all("Content-Length", [])
    wrong = f"it declares a length of {', '.join(lengths)[:40]}" if len(set(lengths)) > 1 else ""
    if lengths and not (lengths[0].isascii() and lengths[0].isdigit() and len(lengths[0]) < 19):
        wrong = f"it declares a length of {lengths[0][:40]!r} bytes"
    if encoding.lower() not in ("", "identity"):
        wrong = f"it is sent compressed ({encoding[:40]}), which was not asked for; download it with curl --compressed"
    if answer.status != 200:
        wrong = f"the server answers with status {answer.status} in place of a file"
    if wrong:
        answer.close()
        raise ConnectionError(wrong)
    length, version = (int(lengths[0]), _content_version(answer)) if lengths else (None, "")
    known = hashlib.sha256(f"{version} {length}".encode()).hexdigest()[:8]
    part = path.with_name(f".{path.name}.{known}.part")
    free = shutil.disk_usage(path.parent).free + (part.stat().st_size if part.exists() else 0)
    if (length or 0) > free:
        answer.close()
        raise _no_room(path, f"takes {length:,} bytes, and {free:,} are free")
    return _Transfer(answer, length, version, part)


def _content_version(answer: Answer) -> str:
    """Version of the file in a response: a strong ETag, or the time of its last change."""
    etag = answer.headers.get("ETag", "")
    return etag if etag.startswith('"') else answer.headers.get("Last-Modified", "")


@contextmanager
def _left_whole(transfer: _Transfer) -> Iterator[None]:
    """Delete the partial file on an error within a `with` statement, unless it can be resumed; close the response."""
    try:
        yield
    except BaseException as error:
        if not transfer.version or isinstance(error, NoRoomError | ValueError):
            transfer.part.unlink(missing_ok=True)
        raise
    finally:
        transfer.answer.close()


def _save(transfer: _Transfer, name: str, check: Callable[[Path], object]) -> None:
    """Write the body of a response to the partial file.

    Raises:
        ConnectionError: the transfer broke off.
        NoRoomError: the disk is full.
        ValueError: `check` rejects the file.
    """
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    here, part = transfer.start, transfer.part
    bar = tqdm(total=transfer.length, initial=here, desc=name, unit="B", unit_scale=True, disable=None)  # on terminals
    try:
        with bar, part.open("ab" if here else "wb", buffering=0) as file:
            for piece in transfer.answer.pieces():
                file.write(piece)
                bar.update(len(piece))
                before, here = here, here + len(piece)
                if before < _HEAD <= here:
                    check(part)
                if here > LONGEST and transfer.length is None:
                    raise ConnectionError(f"more than {LONGEST:,} bytes came, of a file without a declared length")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_room(part, f"has {here:,} bytes so far, and none are free") from error
        raise
    if here < (transfer.length or 0):
        raise ConnectionError(f"it broke off after {here:,} of {transfer.length:,} bytes")


def _no_room(path: Path, why: str) -> NoRoomError:
    return NoRoomError(
        f"There is no space for {path}: the file {why}. Make room, or set TORCH_HOME to a folder on another disk."
    )
