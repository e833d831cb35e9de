"""What the classes of a video data set are called, and what its lists call them."""

from collections.abc import Sequence
from pathlib import Path

from swinv2.class_files import ClassFile, read_class_file
from swinv2.class_names import first_number, name_classes
from swinv2.places import locate
from video.list_formats import read_rows
from video.lists import class_folders

CLASSES = "classes.txt"  # name of a file of class names that need not be asked for


def read_names(root: Path, train: str, classes: str | None) -> list[str]:
    """The class names of a data set; see `KineticsData` for the arguments.

    Raises:
        FileNotFoundError: there is neither a file of names nor a list or folder of training videos.
        ValueError: the file or the list is none.
    """
    file = find_class_file(root, classes)
    if file is not None:
        return file.names
    source = root / train
    if source.is_dir():
        return class_folders(source)[0]
    if not source.is_file():
        raise FileNotFoundError(
            f"There are no training videos {source}, nor {root / CLASSES} to name the classes; check data.root, "
            "data.train and data.classes."
        )
    return name_classes([row.label for row in read_rows(source)])


def read_first(root: Path, lists: Sequence[str | None], classes: str | None, names: Sequence[str]) -> int:
    """The number that lists call the first class by: 0 or 1.

    Args:
        root: see `KineticsData`.
        lists: the training list or folder, and what counts where that is missing.
        classes: see `KineticsData`.
        names: of the classes.

    Raises:
        ValueError: labels count from 1, but classes do not; or a list is none.
    """
    source = next((root / name for name in lists if name is not None and (root / name).exists()), root)
    if source.is_dir():
        return 0
    file = find_class_file(root, classes)
    return first_number([row.label for row in read_rows(source)], names, file.first if file else None, source)


def find_class_file(root: Path, classes: str | None) -> ClassFile | None:
    """The file of class names that is asked for, or that is there; None if there is none."""
    if classes is None and not (root / CLASSES).is_file():
        return None
    return read_class_file(locate(root, classes or CLASSES))
