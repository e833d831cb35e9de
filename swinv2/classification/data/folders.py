"""Images in one folder per class: the layout of ImageNet and of torchvision's `ImageFolder`."""

import logging
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from ...imaging.decoding.formats import SUFFIXES
from ...imaging.finding import files_below, is_image, visible
from ...imaging.reading import read_bytes
from ...imaging.skipped_files import check_loose, check_passed_over
from ..class_names import check_no_splits, labels_of
from ..items import ImageItems, Strings
from .labels import check_labels

logger = logging.getLogger(__name__)

READERS = 16  # threads that list folders; on network disks most of the time is waiting
SHOWN = 3  # names in a message
NO_CLASSES = ("__MACOSX",)  # folders that archives leave beside class folders
ARCHIVES = (".tar", ".gz", ".tgz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".rar")


class FolderImages(ImageItems):
    """Image files below a folder.

    Args:
        folder: of all files.
        files: paths below it.
        labels: class of each.
    """

    def __init__(self, folder: Path, files: Strings, labels: Int32[np.ndarray, " n"]) -> None:
        super().__init__(files, labels)
        self.folder = folder

    def path(self, index: int) -> Path:
        """File of an image."""
        return self.folder / self.files[index]

    def read(self, index: int) -> bytes:
        """Content of the file of an image; raises UnreadableImageError if it cannot be read."""
        return read_bytes(self.path(index))


class Listing(NamedTuple):
    """Files in a class folder.

    Attributes:
        images: sorted paths of images below the parent of the class folders, packed.
        strays: sorted paths below it of files that are no images by their suffix.
    """

    images: Strings
    strays: list[str]


def class_folders(folder: Path) -> list[str]:
    """Names of the class folders, sorted; by number if they are numbers, as in ImageNet-V2.

    A folder without any image is no class.

    Raises:
        FileNotFoundError: there are none.
        ValueError: they are folders of splits, such as train and val.
    """
    names = subfolders(folder)
    with ThreadPoolExecutor(READERS) as threads:
        there = [*threads.map(lambda name: has_image(folder / name), names)]
    if not any(there):
        raise no_images(folder)
    found = in_order(name for name, image in zip(names, there, strict=True) if image)
    check_no_splits(found, folder)
    return found


def no_images(folder: Path) -> FileNotFoundError:
    """Error for class folders without any image."""
    first = min(files_below(folder), default=None)
    return FileNotFoundError(
        f"The folders of classes in {folder} have no images; looked for names that end in {', '.join(SUFFIXES)}."
        + (f" They have other files, e.g. {first}." if first else "")
    )


def subfolders(folder: Path) -> list[str]:
    """Names of the folders that may be class folders, in no order.

    Raises:
        FileNotFoundError: there are none, or no such folder.
    """
    if not folder.is_dir():
        hint = " That is a file; name the folder that it was extracted to." if folder.is_file() else ""
        raise FileNotFoundError(
            f"There is no folder {folder} of images; check data.root, data.train and data.val.{hint}"
        )
    entries = visible(folder)
    names = [entry.name for entry in entries if entry.is_dir() and entry.name not in NO_CLASSES]
    if names:
        return names
    flat = sum(is_image(entry.name) for entry in entries)
    shards = sorted(entry.name for entry in entries if entry.name.lower().endswith(ARCHIVES))
    if shards and not flat:
        raise FileNotFoundError(
            f"The folder {folder} has no folders of classes but {len(shards)} archives, first {shards[0]}. Name shards "
            f"by a pattern, e.g. '{folder.name}/*.tar', and decompress those that are compressed (gunzip, unzip)."
        )
    raise FileNotFoundError(
        f"The folder {folder} has no folders of classes but {flat} images; move the images of each class into a "
        f"folder of its own, e.g. {folder / 'n01440764' / 'photo.jpg'}."
    )


def has_image(folder: Path) -> bool:
    """Whether there is an image in a folder or its subfolders; searches the folder itself first."""
    with os.scandir(folder) as entries:
        if any(is_image(entry.name) and entry.name[0] != "." and entry.is_file() for entry in entries):
            return True
    return any(map(is_image, files_below(folder)))


def in_order(names: Iterable[str]) -> list[str]:
    """Names sorted, by number if all are numbers."""
    found = sorted(names)
    return sorted(found, key=int) if all(name.isdecimal() for name in found) else found


def read_class_folders(folder: Path, class_names: Sequence[str] = (), first: int = 0) -> FolderImages:
    """Images in class folders and their subfolders, but for hidden files.

    The log counts other files, folders without images, and classes without images.

    Args:
        folder: parent of the class folders.
        class_names: by label, those of the training images for all splits; by default the names of the folders.
        first: number of the first class, if folders are named by numbers.

    Raises:
        FileNotFoundError: there are no class folders, or no images in them.
        ValueError: a folder is no class, or there are more skipped or loose pictures than images.
    """
    names = in_order(subfolders(folder))
    with ThreadPoolExecutor(READERS) as threads:
        found = dict(zip(names, threads.map(lambda name: list_class(folder, name), names), strict=True))
    beside = [entry.name for entry in visible(folder) if not entry.is_dir()]
    strays = [name for name in beside if not is_image(name)]
    strays += [stray for listing in found.values() for stray in listing.strays]
    listings = {name: found[name] for name in in_order(name for name in names if len(found[name].images))}
    if not listings:
        raise no_images(folder)
    check_no_splits([*listings], folder)
    files = Strings(file for listing in listings.values() for file in listing.images)
    check_loose(folder, sorted(filter(is_image, beside)), len(files), "images")
    check_passed_over(folder, strays, files, len(files))
    tell_no_classes(folder, {name: len(found[name].strays) for name in names if name not in listings})
    classes = [*class_names] or [*listings]
    labels = labels_of(map(composed, listings), [*map(composed, classes)], folder, first)
    of_folders = np.array([labels[composed(name)] for name in listings], np.int32)
    images = FolderImages(folder, files, np.repeat(of_folders, [len(one.images) for one in listings.values()]))
    check_labels(images.labels, classes, folder)
    return images


def list_class(folder: Path, name: str) -> Listing:
    """Files in a class folder.

    Args:
        folder: parent of the class folders.
        name: of the class folder.
    """
    files = sorted(f"{name}/{file}" for file in files_below(folder / name))
    return Listing(Strings(filter(is_image, files)), [file for file in files if not is_image(file)])


def tell_no_classes(folder: Path, files: Mapping[str, int]) -> None:
    """Warn about folders without images, which are no classes.

    Args:
        folder: their parent.
        files: number of files in each folder, by its name.
    """
    if files:
        shown = ", ".join(f"{name} ({count} files)" for name, count in list(files.items())[:SHOWN])
        text = "%d folders in %s have no images and so are no classes, first %s"
        logger.warning(text, len(files), folder, shown)


def composed(name: str) -> str:
    """Name in Unicode's composed form (NFC); macOS writes accents decomposed."""
    return unicodedata.normalize("NFC", name)
