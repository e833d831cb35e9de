"""Class names of a video data set, and numbers of the classes in its lists."""

from collections.abc import Sequence
from pathlib import Path

from swinv2.classification.class_names import CLASSES, find_class_file, first_number, name_classes
from video.data.list_formats import read_rows
from video.data.lists import class_folders


def read_names(root: Path, train: str, classes: str | None) -> list[str]:
    """Read the class names of a data set; see `KineticsData` for the arguments.

    Raises:
        FileNotFoundError: there is neither a file of names nor a list or folder of training videos.
        ValueError: the file or the list is not valid.
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
    """Number of the first class in lists and folder names: 0 or 1.

    Args:
        root: see `KineticsData`.
        lists: the training list or folder, and those to use if it is missing.
        classes: see `KineticsData`.
        names: names of the classes.

    Raises:
        ValueError: labels count from 1, but classes do not; or a list is not valid.
    """
    source = next((root / name for name in lists if name is not None and (root / name).exists()), root)
    file = find_class_file(root, classes)
    if file is None and source.is_dir():
        return 0  # classes have the names of the folders
    labels = class_folders(source)[0] if source.is_dir() else [row.label for row in read_rows(source)]
    return first_number(labels, names, file.first if file else None, source)
