"""Labelled images of any source, stored compactly, as there may be millions."""

import os
from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np
from jaxtyping import Int32


class Strings:
    """Strings in one block of memory, which forked worker processes share with the main process.

    Args:
        strings: file names, of any characters that the file system allows.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        text, ends = bytearray(), array("q", [0])
        for string in strings:
            text += os.fsencode(string)
            ends.append(len(text))
        self.text = bytes(text)
        self.ends = np.frombuffer(ends, np.int64)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, index: int) -> str:
        return os.fsdecode(self.text[self.ends[index] : self.ends[index + 1]])

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))


class ImageItem(NamedTuple):
    """Image and its class.

    Attributes:
        path: the file, or the shard and the name in it.
        label: number of the class, from 0.
        name: path below the folder of the split, without suffix.
    """

    path: Path
    label: int
    name: str


class ImageItems(Sequence[ImageItem]):
    """Labelled images with random access to their encoded bytes.

    Args:
        files: path of each, with suffix.
        labels: class of each.

    Attributes:
        labels: class of each.
        shards: number of images in each shard, in order; empty if each image is a file.
    """

    def __init__(self, files: Strings, labels: Int32[np.ndarray, " n"]) -> None:
        self.files = files
        self.labels = labels
        self.shards: list[int] = []

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> ImageItem: ...
    @overload
    def __getitem__(self, index: slice) -> list[ImageItem]: ...
    def __getitem__(self, index: int | slice) -> ImageItem | list[ImageItem]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(f"There is no image {index}; there are {len(self)}, from 0.")
        return ImageItem(self.path(index), int(self.labels[index]), os.path.splitext(self.files[index])[0])

    @abstractmethod
    def path(self, index: int) -> Path:
        """File of an image, or its shard and name in it."""

    @abstractmethod
    def read(self, index: int) -> bytes:
        """Encoded image; raises UnreadableImageError if it cannot be read."""
