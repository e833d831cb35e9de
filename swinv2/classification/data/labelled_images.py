"""Data sets of labelled images, for training and for validation."""

import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from torchvision.tv_tensors import Image

from ...imaging.datasets import Skipped
from ...imaging.decoding.errors import ImageDepthError
from ...imaging.reading import UnreadableImageError, decode
from ..items import ImageItems

logger = logging.getLogger(__name__)

GIF = b"GIF8"  # first bytes of a GIF


class TrainingImages(Dataset[tuple[Image, int]]):
    """Training images as uint8 (3, height, width) with their labels.

    An image that cannot be read is skipped, and counted in the log; the next one replaces it.

    Args:
        items: images and their classes.
        transform: of an image.

    Attributes:
        skipped: positions of images that cannot be read.
    """

    def __init__(self, items: ImageItems, transform: Callable[[Image], Image]) -> None:
        self.items = items
        self.transform = transform
        self.skipped = Skipped(len(items))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Image, int]:
        for candidate in itertools.chain(range(index, len(self)), range(index)):
            if candidate in self.skipped:
                continue
            try:
                return self.transform(read_item(self.items, candidate)), int(self.items.labels[candidate])
            except UnreadableImageError as error:
                leave_out(self.items, self.skipped, candidate, error)
        raise UnreadableImageError(f"None of the {len(self)} images can be read, first {self.items[0].path}.")


class ScoredImages(Dataset[tuple[Image, dict[str, Any]] | None]):
    """Validation images, each with a target of `label`, `labels`, `name` and `path`; None if unreadable.

    Args:
        items: images and their classes.
        transform: of an image.
        real_labels: all correct labels of each image (ReaL), if known; an image without any is not scored by them.

    Attributes:
        skipped: positions of images that cannot be read, which the log counts.
    """

    def __init__(
        self, items: ImageItems, transform: Callable[[Image], Image], real_labels: Sequence[list[int]] = ()
    ) -> None:
        self.items = items
        self.transform = transform
        self.real_labels = real_labels
        self.skipped = Skipped(len(items))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Image, dict[str, Any]] | None:
        try:
            image = self.transform(read_item(self.items, index))
        except UnreadableImageError as error:
            leave_out(self.items, self.skipped, index, error)
            return None
        item = self.items[index]
        labels = self.real_labels[index] if self.real_labels else []
        return image, {"label": item.label, "labels": labels, "name": item.name, "path": item.path}


def leave_out(items: ImageItems, skipped: Skipped, index: int, error: Exception) -> None:
    """Skip an image, and warn if its class has no other one.

    Args:
        items: images and their classes.
        skipped: positions of skipped images.
        index: position of the image.
        error: reason why it cannot be read.
    """
    if index in skipped:
        return
    skipped.add(index, error)
    same = np.flatnonzero(items.labels == items.labels[index]).tolist()
    if all(position in skipped for position in same):
        logger.warning("No image of the class of %s can be read: all %d are left out", items.path(index), len(same))


def read_item(items: ImageItems, index: int) -> Image:
    """Image as RGB (3, height, width), uint8, upright, channels last in memory.

    Raises:
        UnreadableImageError: it cannot be read, is a GIF, or its values do not have 8 bits.
    """
    data, path = items.read(index), items.path(index)
    if data.startswith(GIF):
        raise UnreadableImageError(f"{path} is a GIF: what photo sites send in place of a photo that is gone")
    try:
        return Image(torch.from_numpy(decode(data, path)).permute(2, 0, 1))
    except ImageDepthError as error:
        raise UnreadableImageError(str(error)) from error
