"""Which videos of a test are finished: files that a killed run leaves and the next one goes on with."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

LETTERS = 12  # of a name made of a digest


class Finished:
    """Probabilities of the videos that are done, a line for each batch, written as soon as they are there.

    A test has a folder of its own, named after what makes it that test, and each process a file in it. A batch is
    finished as a whole or not at all, so that the next run computes the others as this one would have. A line begins
    with its line break: what a killed process has begun to write spoils no other line.

    Args:
        folder: of the folders of tests.
        test: what makes two tests the same, e.g. weights and views.
        process: number of this process.

    Attributes:
        probabilities: of the classes, by video; of the runs before this one.

    Raises:
        OSError: the folder cannot be made or read.
    """

    def __init__(self, folder: Path, test: Mapping[str, Any], process: int = 0) -> None:
        self.folder = folder / f"finished-{digest(json.dumps(test, sort_keys=True).encode())}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / f"{process}.jsonl"
        files = sorted(self.folder.glob("*.jsonl"))
        self.probabilities = {video: torch.tensor(row) for path in files for video, row in read(path).items()}

    def add(self, batch: Mapping[str, Float32[Tensor, " k"]]) -> None:
        """Note that the videos of a batch are done.

        Args:
            batch: probabilities of the classes, by video.

        Raises:
            OSError: the file cannot be written.
        """
        with self.path.open("a", encoding="ascii") as file:
            file.write("\n" + json.dumps({video: row.tolist() for video, row in batch.items()}))

    def forget(self) -> None:
        """Remove the files of all processes: all videos are scored."""
        shutil.rmtree(self.folder)


def read(path: Path) -> dict[str, list[float]]:
    """The whole lines of a file, put together."""
    found: dict[str, list[float]] = {}
    for line in path.read_text(encoding="ascii", errors="replace").split("\n"):
        try:
            found |= json.loads(line)
        except ValueError:  # empty, or the last one of a killed process
            continue
    return found


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """A short text that depends on all values of a state, and on nothing else.

    Args:
        state: tensors by name.
    """
    parts = (name.encode() + value.cpu().flatten().view(torch.uint8).numpy().tobytes() for name, value in state.items())
    return digest(*parts)


def digest(*parts: bytes) -> str:
    """A short text that tells data apart."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()[:LETTERS]
