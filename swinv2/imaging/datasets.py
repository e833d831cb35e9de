"""Data sets of images without annotations, which count the files that cannot be read."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from torchvision.transforms import v2
from torchvision.tv_tensors import Image

from .decoding.errors import ImageDepthError, UnreadableImageError
from .finding import unique_names
from .reading import read_image

logger = logging.getLogger(__name__)

Transform = Callable[[Image, dict[str, Any]], tuple[Image, dict[str, Any]]]

SAMPLE = 12  # files that are read before a run starts
MOST_UNREADABLE = 0.5  # share of the sample


class Skipped:
    """Set of positions of files that cannot be read, shared by worker processes.

    Args:
        total: number of files.
        kind: name of a file with its article, for the log.
    """

    def __init__(self, total: int, kind: str = "an image") -> None:
        self.kind = kind
        self._flags = torch.zeros(total, dtype=torch.bool, device="cpu").share_memory_()

    def __len__(self) -> int:
        return int(self._flags.sum())

    def __contains__(self, position: int) -> bool:
        return bool(self._flags[position])

    def add(self, position: int, error: Exception) -> None:
        """Add a file; the first time, log the reason and the number of skipped files."""
        if position not in self:
            self._flags[position] = True
            logger.warning("Skipped %s, %d of %d so far: %s", self.kind, len(self), len(self._flags), error)


def check_readable(skipped: Skipped, total: int, read: Callable[[int], object], what: str) -> None:
    """Read a sample of the files before a run starts, so that unreadable data fails now, not after an epoch.

    Args:
        skipped: receives the files that cannot be read.
        total: number of files.
        read: reads the file at a position.
        what: name of the files, e.g. "training images".

    Raises:
        ValueError: more than half of the sample cannot be read.
    """
    sample = np.linspace(0, total - 1, min(total, SAMPLE)).round().astype(int).tolist()
    errors: list[Exception] = []
    for position in sample:
        try:
            read(position)
        except (OSError, ImageDepthError) as error:
            skipped.add(position, error)
            errors.append(error)
    if len(errors) > MOST_UNREADABLE * len(sample):
        raise ValueError(
            f"{len(errors)} of {len(sample)} {what} that were tried cannot be used, first: {errors[0]} Too little "
            "would be left; convert or replace these files, or check that the folder is the right one."
        )


class ImageFiles(Dataset[tuple[Image, dict[str, Any]] | None]):
    """Data set of image files: targets `image_id`, `path`, `orig_size` and `size`; None if unreadable.

    Args:
        paths: the files; an image's id is its position among them, from 1.
        transform: changes image and target together.
    """

    def __init__(self, paths: Sequence[Path], transform: Transform) -> None:
        self.paths = paths
        self.transform = transform
        self.skipped = Skipped(len(paths))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Image, dict[str, Any]] | None:
        try:
            image = read_image(self.paths[index])
        except (UnreadableImageError, ImageDepthError) as error:
            self.skipped.add(index, error)
            return None
        target = {"image_id": index + 1, "path": self.paths[index], "orig_size": tuple(image.shape[-2:])}
        image, target = self.transform(image, target)
        return image, target | {"size": tuple(image.shape[-2:])}


class NamedImages(ImageFiles):
    """Data set of images to predict: targets `image_id`, `path`, `orig_size`, `size` and `name`; None if unreadable.

    Args:
        images: the files, each with a name for its results.
        transform: changes image and target together.
    """

    def __init__(self, images: Mapping[Path, str], transform: Transform) -> None:
        super().__init__([*images], v2.Identity())
        self.finish = transform
        self.names = unique_names([*images.values()])

    def __getitem__(self, index: int) -> tuple[Image, dict[str, Any]] | None:
        sample = super().__getitem__(index)
        if sample is None:
            return None
        image, target = sample
        return self.finish(image, target | {"name": self.names[index]})
