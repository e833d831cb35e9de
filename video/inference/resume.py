"""Which videos of a test are finished: files that a killed run leaves and the next one goes on with."""

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

LETTERS = 12  # of a name made of a digest


class Finished:
    """Probabilities of the videos that are done, a line for each batch, written as soon as they are there.

    A test has a folder of its own, named after what makes it that test, and each process a file in it. A batch is
    finished as a whole or not at all, so that the next run computes the others as this one would have. A line begins
    with its line break: what a killed process has begun to write spoils no other line.

    Args:
        folder: of the folders of tests.
        test: what makes two tests the same, e.g. weights, views and videos, in types of JSON.
        process: number of this process.

    Attributes:
        probabilities: of the classes, by video; of the runs before this one.

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
        """Note that the videos of a batch are done.

        Args:
            batch: probabilities of the classes, by video.

        Raises:
            OSError: the file cannot be written.
        """
        with self.path.open("a", encoding="ascii") as file:
            file.write("\n" + json.dumps({video: numbers(row) for video, row in batch.items()}))

    def forget(self) -> None:
        """Remove the files of all processes; for when all videos are scored."""
        shutil.rmtree(self.folder)


def numbers(row: Float32[Tensor, " k"]) -> list[float]:
    """Values with nine digits, which tell all numbers of float32 apart."""
    return [float(f"{value:.9g}") for value in row.tolist()]


def read(path: Path) -> Iterator[tuple[str, Float32[Tensor, " k"]]]:
    """The videos in the whole lines of a file, with their probabilities."""
    with path.open(encoding="ascii", errors="replace", newline="\n") as file:
        for line in file:
            try:
                rows = json.loads(line)
            except ValueError:  # empty, or the last one of a killed process
                continue
            yield from ((video, torch.tensor(row)) for video, row in rows.items())


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """A short text that depends on all values of a state, and on nothing else.

    Args:
        state: tensors by name. Those that are sharded are put together, for which all processes need to call this.
    """
    return digest(name.encode() + content(value) for name, value in state.items())


def content(value: Tensor) -> bytes:
    """The values of a tensor, wherever it lies."""
    whole = value.full_tensor() if isinstance(value, DTensor) else value
    return whole.detach().cpu().flatten().view(torch.uint8).numpy().tobytes()


def digest(parts: Iterable[bytes]) -> str:
    """A short text that tells data apart."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()[:LETTERS]
