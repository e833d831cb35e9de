"""Image files: which ones are meant, reading one with care, and counting those that cannot be read."""

import glob
import itertools
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from torch.utils.data import Dataset
from torchvision.transforms import v2
from torchvision.tv_tensors import Image

logger = logging.getLogger(__name__)

Transform = Callable[[Image, dict[str, Any]], tuple[Image, dict[str, Any]]]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


class UnreadableImageError(OSError):
    """A file that is missing, empty, cut short, damaged, no image, or not of the promised size."""


class ImageDepthError(ValueError):
    """An image whose values do not have 8 bits."""


def read_image(path: Path, size: tuple[int, int] | None = None) -> Image:
    """An image file as RGB (3, height, width), uint8, upright as its EXIF orientation says.

    The channels lie innermost in memory: torchvision resizes such images several times faster.

    Args:
        path: any format that OpenCV reads.
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
    """The content of a file; raises UnreadableImageError if it cannot be opened."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(f"{path} cannot be opened: {error.strerror}") from error


def decode(data: bytes, path: Path, flags: int = 0) -> UInt8[np.ndarray, "h w 3"]:
    """RGB pixels of an encoded image. From memory OpenCV refuses what is cut short; from a file it fills up with grey.

    Args:
        data: content of the file.
        path: where it came from, for the message.
        flags: OpenCV's, besides `IMREAD_COLOR_RGB`.

    Raises:
        UnreadableImageError: empty, or OpenCV cannot decode it.
        ImageDepthError: its values do not have 8 bits. OpenCV would drop the lower bits of 16, which leaves satellite
            images of 10 to 12 bits almost black.
    """
    if not data:
        raise UnreadableImageError(f"{path} is empty")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH | flags)
    except cv2.error as error:
        raise UnreadableImageError(f"{path} cannot be decoded: {error}") from error
    if pixels is None:
        raise UnreadableImageError(f"{path} is cut short, damaged, or no image")
    if pixels.dtype != np.uint8:
        raise ImageDepthError(
            f"{path} has values of type {pixels.dtype}; models take RGB of 8 bits. Convert such images first, "
            "all in the same way, e.g. from their 2nd and 98th percentiles to 0 and 255."
        )
    return pixels


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
        """Leave a file out, and log why and how many that makes."""
        self._flags[position] = True
        logger.warning("Left out %s, %d of %d so far: %s", self.kind, len(self), len(self._flags), error)


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


def unique_names(names: Sequence[str]) -> list[str]:
    """Names that differ: where one comes again, a number that makes it a new one is put behind it."""
    taken, found = {*names}, dict[str, None]()
    for name in names:
        if name in found:
            name = next(one for one in (f"{name}_{i}" for i in itertools.count(2)) if one not in taken)
            taken.add(name)
        found[name] = None
    return [*found]


def find_images(patterns: Sequence[str]) -> list[Path]:
    """The files that a user names by files, folders and globs, as in `named_images`."""
    return list(named_images(patterns))


def named_images(patterns: Sequence[str]) -> dict[Path, str]:
    """The files that a user names by files, folders and globs, in order and each once, with names for their results.

    A name is the path below the folder that was given, or else the file's name, without suffix; it may come twice.

    Args:
        patterns: a file is taken as it is; of a folder, the images in it and its subfolders that are not hidden; a glob
            may have `**`.

    Raises:
        FileNotFoundError: a pattern that matches nothing.
    """
    found: dict[Path, str] = {}
    for pattern in patterns:
        path = Path(pattern)
        names = glob.glob(pattern, recursive=True) if not path.is_dir() else map(path.joinpath, files_below(path))
        files = [path] if path.is_file() else sorted(Path(name) for name in names if is_image(str(name)))
        if not files:
            raise FileNotFoundError(
                f"No image matches {pattern!r}; give files, folders or globs of {', '.join(SUFFIXES)} images."
            )
        for file in files:
            name = file.relative_to(path) if path.is_dir() else Path(file.name)
            found.setdefault(file, name.with_suffix("").as_posix())
    return found


def files_below(folder: str | Path, above: Sequence[str] = ()) -> Iterator[str]:
    """Paths below a folder of what is in it and in its subfolders, in no order.

    Hidden ones do not count, and links that lead back to a folder above are not followed.

    Args:
        folder: where to look.
        above: real paths of the folders that it was reached through.
    """
    here = os.path.realpath(folder)
    for entry in visible(folder) if here not in above else ():
        if entry.is_dir():
            yield from (f"{entry.name}/{file}" for file in files_below(entry.path, (*above, here)))
        else:
            yield entry.name


def visible(folder: str | Path) -> list[os.DirEntry[str]]:
    """What is in a folder and not hidden."""
    with os.scandir(folder) as entries:
        return [entry for entry in entries if entry.name[0] != "."]


def is_image(name: str) -> bool:
    """Whether a file is an image by its suffix."""
    return name.lower().endswith(SUFFIXES)
