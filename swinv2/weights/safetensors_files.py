"""Files of safetensors with a digest of their tensors in the header, by which an altered one is noticed."""

import hashlib
import json
from pathlib import Path
from typing import Any

from torch import Tensor

from ..files.whole import write_whole

DIGEST = "swinv2_sha256"  # of the bytes of all tensors; an entry of the metadata, which other programs pass over
LENGTH = 8  # bytes that say how long the header is, which is a multiple of as many
LONGEST = 100_000_000  # bytes of a header, as the library has it


def write_safetensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write contiguous tensors that share no memory.

    Raises:
        OSError: they cannot be written; an earlier file is as it was.
    """
    from safetensors.torch import save  # save_file would leave a file of its own if it is killed

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
    """Compare the tensors of a file with the digest in its header, where there is one.

    Raises:
        ValueError: they are not what was written.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        header: Any = json.loads(file.read(length)) if length < min(LONGEST, path.stat().st_size) else {}
        known = header.get("__metadata__", {}).get(DIGEST)
        if known is not None and hashlib.file_digest(file, "sha256").hexdigest() != known:
            raise ValueError("its tensors are not those that were written, by the digest in its header")


def read_header(data: memoryview) -> tuple[dict[str, Any], int]:
    """The header of a file, and where the tensors begin."""
    start = LENGTH + int.from_bytes(data[:LENGTH], "little")
    return json.loads(bytes(data[LENGTH:start])), start
