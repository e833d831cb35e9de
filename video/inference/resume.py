"""Files with the finished videos of a test, from which a killed run is resumed."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor
from torch.distributed.tensor import DTensor

LETTERS = 12  # length of a digest in a name


class Finished:
    """Probabilities of the finished videos of a test, one line per batch, written at once.

    Each test has a folder, named by a digest of its settings, and each process a file in it. A batch is finished as a
    whole or not at all, so that the next run computes the other batches as this one would have. A line begins with its
    line break, so that the incomplete line of a killed process spoils no other.

    Args:
        folder: folder that contains those of the tests.
        test: settings that identify a test, e.g. weights, views and videos, as JSON types.
        process: number of this process.

    Attributes:
        probabilities: class probabilities by video, from earlier runs.

    Raises:
        OSError: the folder cannot be made or read.
    """

    def __init__(self, folder: Path, test: Mapping[str, Any], process: int = 0) -> None:
        self.folder = folder / f"finished-{digest([json.dumps(test, sort_keys=True).encode()])}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / f"{process}.jsonl"
        files = sorted(self.folder.glob("*.jsonl"))
        self.probabilities = {video: row for path in files for video, row in read(path)}

    def add(self, batch: Mapping[str, Float32[Tensor, " k"]]) -> None:
        """Write the probabilities of a finished batch.

        Args:
            batch: class probabilities by video.

        Raises:
            OSError: the file cannot be written.
        """
        with self.path.open("a", encoding="ascii") as file:
            file.write("\n" + json.dumps({video: numbers(row) for video, row in batch.items()}))

    def forget(self) -> None:
        """Remove the files of all processes, once all videos are scored."""
        shutil.rmtree(self.folder)


def numbers(row: Float32[Tensor, " k"]) -> list[float]:
    """Values rounded to nine digits, which are exact for float32."""
    return [float(f"{value:.9g}") for value in row.tolist()]


def read(path: Path) -> Iterator[tuple[str, Float32[Tensor, " k"]]]:
    """Read the videos in the complete lines of a file, with their probabilities."""
    with path.open(encoding="ascii", errors="replace", newline="\n") as file:
        for line in file:
            try:
                rows = json.loads(line)
            except ValueError:  # empty, or the last one of a killed process
                continue
            yield from ((video, torch.tensor(row)) for video, row in rows.items())


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """Digest of the names and values of a state dict.

    Args:
        state: tensors by name. Sharded ones are gathered, for which all processes must call this.
    """
    return digest(name.encode() + content(value) for name, value in state.items())


def content(value: Tensor) -> bytes:
    """Bytes of a tensor's values, gathered if it is sharded."""
    whole = value.full_tensor() if isinstance(value, DTensor) else value
    return whole.detach().cpu().flatten().view(torch.uint8).numpy().tobytes()


def digest(parts: Iterable[bytes]) -> str:
    """Short hexadecimal digest of data."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()[:LETTERS]
