"""Images in one folder a class, as ImageNet comes and torchvision's ImageFolder takes it."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from ..class_names import labels_of
from ..images import SUFFIXES, files_below, is_image, read_bytes, visible
from .items import ImageItems, Strings
from .labels import check_labels

logger = logging.getLogger(__name__)

READERS = 16  # threads that list folders; on network disks most of the time is waiting
SHOWN = 3  # names in a message


class FolderImages(ImageItems):
    """Image files below a folder.

    Args:
        folder: that the files are below.
        files: their paths below it.
        labels: class of each.
    """

    def __init__(self, folder: Path, files: Strings, labels: Int32[np.ndarray, " n"]) -> None:
        super().__init__(files, labels)
        self.folder = folder

    def path(self, index: int) -> Path:
        """The file of an image."""
        return self.folder / self.files[index]

    def read(self, index: int) -> bytes:
        """The content of its file; raises UnreadableImageError if it cannot be read."""
        return read_bytes(self.path(index))


class Listing(NamedTuple):
    """What is in the folder of a class.

    Attributes:
        images: paths below the folder of all classes, packed, sorted.
        strays: likewise, files that are no images by their suffix.
    """

    images: Strings
    strays: list[str]


def class_folders(folder: Path) -> list[str]:
    """Names of the folders of classes, sorted; by number if they are numbers, as ImageNet-V2 names them.

    Raises:
        FileNotFoundError: there are none.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder} of images; check data.root, data.train and data.val.")
    entries = visible(folder)
    names = sorted(entry.name for entry in entries if entry.is_dir())
    if not names:
        flat = sum(is_image(entry.name) for entry in entries)
        raise FileNotFoundError(
            f"The folder {folder} has no folders of classes but {flat} images; move the images of each class into a "
            f"folder of its own, e.g. {folder / 'n01440764' / 'photo.jpg'}."
        )
    return sorted(names, key=int) if all(name.isdecimal() for name in names) else names


def read_class_folders(folder: Path, class_names: Sequence[str] = ()) -> FolderImages:
    """The images in the folders of classes and in folders in these; hidden ones do not count.

    The log counts what is there but no image, and classes that have no image.

    Args:
        folder: what the folders of classes are in.
        class_names: by label; by default the names of the folders. Those of the training images for all others.

    Raises:
        FileNotFoundError: no folders of classes, or no images in them.
        ValueError: a folder that is no class.
    """
    names = class_folders(folder)
    classes = [*class_names] or names
    labels = labels_of(names, classes, folder)
    with ThreadPoolExecutor(READERS) as threads:
        listings = [*threads.map(lambda name: list_class(folder, name), names)]
    counts = np.array([len(listing.images) for listing in listings])
    strays = [entry.name for entry in visible(folder) if not entry.is_dir()]
    strays += [stray for listing in listings for stray in listing.strays]
    if strays:
        text = "Passed over %d files in %s that are no images, first %s"
        logger.warning(text, len(strays), folder, ", ".join(strays[:SHOWN]))
    if not counts.any():
        raise FileNotFoundError(
            f"The folders of classes in {folder} have no images; looked for names that end in {', '.join(SUFFIXES)}."
        )
    files = Strings(file for listing in listings for file in listing.images)
    images = FolderImages(folder, files, np.repeat(np.array([labels[name] for name in names], np.int32), counts))
    check_labels(images.labels, classes, folder)
    return images


def list_class(folder: Path, name: str) -> Listing:
    """The files of a class.

    Args:
        folder: what the folders of classes are in.
        name: of the folder of the class.
    """
    files = sorted(f"{name}/{file}" for file in files_below(folder / name))
    return Listing(Strings(filter(is_image, files)), [file for file in files if not is_image(file)])
