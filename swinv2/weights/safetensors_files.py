"""Safetensors files with a digest of the tensors in the header, to detect changed files."""

import hashlib
import json
from pathlib import Path
from typing import Any

from torch import Tensor

from ..files.whole import write_whole

DIGEST = "swinv2_sha256"  # key in the metadata, which other programs ignore; digest of the bytes of all tensors
LENGTH = 8  # bytes of the header's length, which is a multiple of 8
LONGEST = 100_000_000  # bytes of a header, the limit of the library


def write_safetensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write contiguous tensors that share no memory.

    Raises:
        OSError: the file cannot be written; an earlier one stays as it was.
    """
    from safetensors.torch import save  # save_file would leave a temporary file if killed

    data = memoryview(save(tensors, metadata={"format": "pt"}))
    header, start = read_header(data)
    header["__metadata__"][DIGEST] = hashlib.sha256(data[start:]).hexdigest()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH)

    def write(part: Path) -> None:
        with part.open("wb") as file:
            file.write(len(text).to_bytes(LENGTH, "little") + text)
            file.write(data[start:])

    write_whole(path, write, len(data))


def check_digest(path: Path) -> None:
    """Raise unless the tensors of a file have the digest in its header, if there is one.

    Raises:
        ValueError: the tensors were changed.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        header: Any = json.loads(file.read(length)) if length < min(LONGEST, path.stat().st_size) else {}
        known = header.get("__metadata__", {}).get(DIGEST)
        if known is not None and hashlib.file_digest(file, "sha256").hexdigest() != known:
            raise ValueError("its tensors are not those that were written, by the digest in its header")


def read_header(data: memoryview) -> tuple[dict[str, Any], int]:
    """Header of a file, and offset of the tensors."""
    start = LENGTH + int.from_bytes(data[:LENGTH], "little")
    return json.loads(bytes(data[LENGTH:start])), start
