"""Files of the web into a folder on the disk, continued where an earlier try broke off."""

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

_HEAD = 512  # bytes that tell what a file is
_PROGRESS = 1 << 20  # bytes after which a try that breaks off is followed by another


def download(address: str, path: Path, digest: str, check: Callable[[Path], object]) -> None:
    """Fetch the file at an address; of several processes one does, and the others wait for it.

    What came is kept, and continued by the next try, if the server tells versions apart (ETag, Last-Modified).

    Args:
        address: http:// or https://.
        path: where the file will be; its SHA-256 is recorded beside it.
        digest: what its SHA-256 begins with; "" if nobody says.
        check: is called with a part of at least the first bytes; raises ValueError if they are of no use.

    Raises:
        ConnectionError: it cannot be had.
        NoRoomError: the disk has no room for it.
        ValueError: it is of no use.
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
    """A file on its way.

    Attributes:
        answer: of the server.
        length: bytes of the whole file, None if they are not declared.
        version: what tells it from other versions at the address; "" if nothing does, and it cannot be continued.
        part: where it goes.
        start: bytes that are there already.
    """

    answer: Answer
    length: int | None
    version: str
    part: Path
    start: int = 0


def _keep(part: Path, published: str, path: Path, digest: str) -> None:
    """Compare the SHA-256 of a file that is all here, record it, and give the file its name."""
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
    """A file that is all here, but for its name, and its SHA-256 if the server tells it."""
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
    """Ask for a file, or for the rest of it if its beginning is here."""
    whole = _transfer(Answer(address), path)
    here = whole.part.stat().st_size if whole.part.exists() else 0
    if not whole.version or not 0 < here < (whole.length or 0):
        return whole
    whole.answer.close()
    try:
        rest = Answer(address, {"Range": f"bytes={here}-", "If-Range": whole.version})
    except ConnectionError:  # a server that has no ranges
        return _transfer(Answer(address), path)
    promised = f"bytes {here}-{(whole.length or 0) - 1}/{whole.length}"
    if (rest.status, rest.headers.get("Content-Range"), _content_version(rest)) == (206, promised, whole.version):
        return _Transfer(rest, whole.length, whole.version, whole.part, here)
    rest.close()
    return _transfer(Answer(address), path)


def _transfer(answer: Answer, path: Path) -> _Transfer:
    """Check what the server says of a file before it comes.

    Raises:
        ConnectionError: it does not send the file as it is.
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
    """What tells a file from other versions of it: a strong ETag, or the time of its last change."""
    etag = answer.headers.get("ETag", "")
    return etag if etag.startswith('"') else answer.headers.get("Last-Modified", "")


@contextmanager
def _left_whole(transfer: _Transfer) -> Iterator[None]:
    """Whatever ends within, only what can be continued is left."""
    try:
        yield
    except BaseException as error:
        if not transfer.version or isinstance(error, NoRoomError | ValueError):
            transfer.part.unlink(missing_ok=True)
        raise
    finally:
        transfer.answer.close()


def _save(transfer: _Transfer, name: str, check: Callable[[Path], object]) -> None:
    """Write a file as it comes.

    Raises:
        ConnectionError: it broke off.
        NoRoomError: the disk is full.
        ValueError: it is of no use.
    """
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    here, part = transfer.start, transfer.part
    bar = tqdm(total=transfer.length, initial=here, desc=name, unit="B", unit_scale=True, disable=None)  # on a terminal
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
