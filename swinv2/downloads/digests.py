"""Digests of downloaded files: computed, found in file names, and recorded beside the files."""

import hashlib
import logging
import re
from pathlib import Path

from ..files.whole import write_whole

logger = logging.getLogger(__name__)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_sha1(path: Path) -> str:
    """Git's blob SHA-1 of a file, which the Hugging Face hub uses for small files."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: digest).hexdigest()


def digest_in(name: str) -> str:
    """Beginning of the SHA-256 in a file name, as in torch.hub: swin_v2_t-b137f0e2.pth.

    Args:
        name: of the file; decimal digits alone are taken for a date.

    Returns:
        At least 8 hexadecimal digits, or an empty string.
    """
    found = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    return found[1] if found and not found[1].isdigit() else ""


def record(path: Path, digest: str) -> None:
    """Write the digest of a file beside it, in the format of `sha256sum --check`.

    Raises:
        OSError: the record cannot be written.
    """
    text = f"{digest}  {path.name}\n"
    write_whole(_record(path), lambda part: part.write_text(text))


def check_recorded(path: Path) -> None:
    """Raise unless a file has the digest of its record; if there is no record, write it.

    Raises:
        ValueError: the file was changed.
    """
    found, noted = sha256(path), _record(path)
    if not noted.exists():
        try:
            record(path, found)
        except OSError as error:  # a read-only folder
            logger.info("%s", error)
        return
    expected = noted.read_text(errors="replace")[:64].lower()
    if found != expected:
        raise ValueError(
            f"{path} is not as it was downloaded: its SHA-256 is {found}, and {noted.name} has {expected}. It was "
            f"altered or damaged since. Delete both to download it anew, or {noted.name} alone if the change is meant."
        )


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
