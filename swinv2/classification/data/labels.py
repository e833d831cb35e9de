"""Checks of numeric labels, and the labels of ReaL (arXiv 2006.07159), several per image."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from ...files.regular import read_small
from ..class_names import tell_one_class

logger = logging.getLogger(__name__)

MOST_BYTES = 1 << 28  # of a file of labels
SHOWN = 3  # names in a message


def check_labels(labels: Int32[np.ndarray, " n"], class_names: Sequence[str], source: Path) -> None:
    """Raise unless each label is that of a class; warn about classes without images, and about a single class.

    Raises:
        ValueError: a label is beyond the classes.
    """
    if labels.max() >= len(class_names):
        raise ValueError(
            f"{source} has labels up to {labels.max()}, but the {len(class_names)} classes are "
            f"{', '.join(class_names[:SHOWN])}, … with labels from 0 to {len(class_names) - 1}. Give all classes in a "
            "file (data.classes)."
        )
    tell_one_class(class_names, source)
    counts = np.bincount(labels, minlength=len(class_names))
    if empty := [name for name, count in zip(class_names, counts, strict=True) if not count]:
        text = "%d of the %d classes have no images in %s, first %s"
        logger.warning(text, len(empty), len(class_names), source, ", ".join(empty[:SHOWN]))


def check_numbers(labels: Int32[np.ndarray, " n"], class_names: Sequence[str], source: Path) -> None:
    """Raise unless numeric labels from files are those of classes; warn if they may count from 1.

    Raises:
        ValueError: a label is beyond the classes, or labels count from 1.
    """
    least, highest = int(labels.min()), int(labels.max())
    if (least, highest) == (1, len(class_names)):
        raise ValueError(
            f"{source} has labels from 1 to {highest}, but those of the {highest} classes count from 0. Subtract 1 "
            "from all labels; or, if the classes lack one, give all of them in a file (data.classes)."
        )
    check_labels(labels, class_names, source)
    if least == 1:
        text = "%s has no image with label 0, %s, but labels from 1 to %d. If they count from 1, subtract 1 from all."
        logger.warning(text, source, class_names[0], highest)


def read_real_labels(path: Path, names: Sequence[str], num_classes: int) -> list[list[int]]:
    """All correct labels of each image; an image without any is not scored.

    Args:
        path: JSON list with a list of labels for each image, in the order of their file names (real.json).
        names: of all images, in any order; folders in front are ignored.
        num_classes: labels are less than this.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such list, or does not fit the images or classes.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of labels {path}; check data.root and data.real_labels.")
    try:
        content = json.loads(read_small(path, MOST_BYTES).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, list) or not all(is_labels(labels, num_classes) for labels in content):
        raise ValueError(
            f"{path} is no JSON list of lists of labels from 0 to {num_classes - 1}, e.g. [[65], [795, 796], []]; "
            "ReaL labels are for ImageNet's 1000 classes."
        )
    if len(content) != len(names):
        raise ValueError(
            f"{path} has labels of {len(content)} images, but there are {len(names)} validation images. They belong to "
            "them by their order, so give all images that it was made for (ImageNet: 50000), or leave out "
            "data.real_labels."
        )
    found: list[list[int]] = [[] for _ in names]
    order = sorted(range(len(names)), key=lambda position: names[position].rsplit("/", 1)[-1])
    for position, labels in zip(order, content, strict=True):
        found[position] = labels
    return found


def is_labels(labels: object, num_classes: int) -> bool:
    """Whether a value is a list of labels."""
    return isinstance(labels, list) and all(type(label) is int and 0 <= label < num_classes for label in labels)
