"""Image files: reading one with care, counting those that cannot be read, and data sets of images alone."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from torch.utils.data import Dataset
from torchvision.transforms import v2
from torchvision.tv_tensors import Image

from ..files.regular import SPECIAL, is_special
from .decoding.errors import ImageDepthError, UnreadableImageError
from .decoding.formats import SUFFIXES as SUFFIXES
from .decoding.formats import format_of, no_image
from .decoding.rgb import decode_image
from .decoding.size import LIMIT, most_pixels
from .finding import files_below as files_below
from .finding import find_images as find_images
from .finding import is_image as is_image
from .finding import named_images as named_images
from .finding import unique_names
from .finding import visible as visible

logger = logging.getLogger(__name__)

Transform = Callable[[Image, dict[str, Any]], tuple[Image, dict[str, Any]]]

SAMPLE = 12  # files that are read before a run starts
MOST_UNREADABLE = 0.5  # share of them
MOST_BYTES, UNCOMPRESSED = 8, ("TIFF", "BMP", "PNM")  # of a file, for a pixel that is taken, in these formats; else 1
FIRST_BYTES = 64  # that tell the format


def read_image(path: Path, size: tuple[int, int] | None = None) -> Image:
    """An image file as RGB (3, height, width), uint8, upright as its EXIF orientation says.

    The channels lie innermost in memory: torchvision resizes such images several times faster.

    Args:
        path: a file of any format of `swinv2.imaging.decoding.formats`, whatever its name.
        size: (height, width) that the annotations were made in; where only the stored orientation has it, that one
            is taken.

    Raises:
        UnreadableImageError: the file gives no whole image of that size.
        ImageDepthError: its values do not have 8 bits.
    """
    data = read_bytes(path)
    pixels = decode(data, path)
    if size is not None and pixels.shape[:2] != size:
        pixels = decode(data, path, cv2.IMREAD_IGNORE_ORIENTATION)
    if size is not None and pixels.shape[:2] != size:
        raise UnreadableImageError(
            f"{path} measures {pixels.shape[:2]} pixels (height, width), its annotation says {size}"
        )
    return Image(torch.from_numpy(pixels).permute(2, 0, 1))


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        UnreadableImageError: it cannot be opened, is too large for an image, or is no file but e.g. a pipe, which would
            wait for its writer.
    """
    try:
        if is_special(path):
            raise UnreadableImageError(f"{path} {SPECIAL}.")
        with path.open("rb") as file:
            size, start = path.stat().st_size, file.read(FIRST_BYTES)
            per_pixel = MOST_BYTES if format_of(start) in UNCOMPRESSED else 1
            if size > per_pixel * most_pixels():
                raise UnreadableImageError(
                    f"{path} has {size:,} bytes, more than {per_pixel} for each of the {most_pixels():,} pixels that "
                    f"are taken; set the environment variable {LIMIT} to a number above, or cut the image into tiles."
                )
            file.seek(0)
            return file.read()
    except UnreadableImageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise UnreadableImageError(f"{path} cannot be opened: {getattr(error, 'strerror', error)}") from error


def decode(data: bytes, path: Path, flags: int = 0) -> UInt8[np.ndarray, "h w 3"]:
    """RGB pixels of an encoded image, by its content and whatever its name.

    Args:
        data: content of the file.
        path: where it came from, for the message.
        flags: `cv2.IMREAD_IGNORE_ORIENTATION` to leave the pixels as they are stored.

    Raises:
        UnreadableImageError: empty, no image, damaged, or of a format or size that is not taken.
        ImageDepthError: its values do not have 8 bits.
    """
    if not data:
        raise no_image(data, path)
    return decode_image(data, path, upright=not flags & cv2.IMREAD_IGNORE_ORIENTATION)


class LeftOut:
    """Positions of files that cannot be read; worker processes share it.

    Args:
        total: number of files.
        kind: what one of them is, with its article, for the log.
    """

    def __init__(self, total: int, kind: str = "an image") -> None:
        self.kind = kind
        self._flags = torch.zeros(total, dtype=torch.bool, device="cpu").share_memory_()

    def __len__(self) -> int:
        return int(self._flags.sum())

    def __contains__(self, position: int) -> bool:
        return bool(self._flags[position])

    def add(self, position: int, error: Exception) -> None:
        """Leave a file out, and log, the first time, why and how many that makes."""
        if position not in self:
            self._flags[position] = True
            logger.warning("Left out %s, %d of %d so far: %s", self.kind, len(self), len(self._flags), error)


def check_readable(left_out: LeftOut, total: int, read: Callable[[int], object], what: str) -> None:
    """Read a sample of the files before a run starts, so that data that cannot be read fails now, not in an epoch.

    Args:
        left_out: takes up those that cannot be read.
        total: number of files.
        read: reads the file at a position.
        what: the files are, e.g. "training images".

    Raises:
        ValueError: more than half of the sample cannot be read.
    """
    sample = np.linspace(0, total - 1, min(total, SAMPLE)).round().astype(int).tolist()
    errors: list[Exception] = []
    for position in sample:
        try:
            read(position)
        except (OSError, ImageDepthError) as error:
            left_out.add(position, error)
            errors.append(error)
    if len(errors) > MOST_UNREADABLE * len(sample):
        raise ValueError(
            f"{len(errors)} of {len(sample)} {what} that were tried cannot be used, first: {errors[0]} Too little "
            "would be left; convert or replace these files, or check that the folder is the right one."
        )


class ImageFiles(Dataset[tuple[Image, dict[str, Any]] | None]):
    """Image files without annotations: targets `image_id`, `path`, `orig_size` and `size`; None if unreadable.

    Args:
        paths: the files; an image's id is its position among them, from 1.
        transform: changes image and target together.
    """

    def __init__(self, paths: Sequence[Path], transform: Transform) -> None:
        self.paths = paths
        self.transform = transform
        self.left_out = LeftOut(len(paths))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Image, dict[str, Any]] | None:
        try:
            image = read_image(self.paths[index])
        except (UnreadableImageError, ImageDepthError) as error:
            self.left_out.add(index, error)
            return None
        target = {"image_id": index + 1, "path": self.paths[index], "orig_size": tuple(image.shape[-2:])}
        image, target = self.transform(image, target)
        return image, target | {"size": tuple(image.shape[-2:])}


class NamedImages(ImageFiles):
    """Images to predict: targets `image_id`, `path`, `name` and `size`; None if unreadable.

    Args:
        images: the files, and a name for the results of each.
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
