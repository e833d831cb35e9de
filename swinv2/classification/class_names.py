"""Class names, and the labels of class folders and lists."""

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..files.paths import locate
from ..files.text_tables import PARTS
from .class_files import SYNSET, ClassFile, read_class_file
from .class_files import names_in_text as names_in_text

logger = logging.getLogger(__name__)

CLASSES = "classes.txt"  # default name of the file of class names
MOST_CLASSES = 100_000  # of a list without class names
NUMBER = re.compile(r"[0-9]{1,9}")
SHOWN = 3  # names in a message


def find_class_file(root: Path, classes: str | None) -> ClassFile | None:
    """Content of the file of class names; None if `classes` is None and there is no `CLASSES`.

    Args:
        root: folder of the data.
        classes: path of the file, below the root or its own; None for `CLASSES`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is no file of class names.
    """
    if classes is None and not (root / CLASSES).is_file():
        return None
    return read_class_file(locate(root, classes or CLASSES))


def check_no_splits(names: Sequence[str], folder: Path) -> None:
    """Raise if class folders have the names of splits, such as train and val.

    Args:
        names: of the folders; a single one may be the class of trains.
        folder: their parent.

    Raises:
        ValueError: all are names of splits.
    """
    if len(names) > 1 and PARTS.issuperset(name.lower() for name in names):
        raise ValueError(
            f"The folders in {folder} are {', '.join(names)}: parts of the data, no classes. Name one of them instead, "
            f"{folder / names[0]}, in data.train or data.val."
        )


def tell_one_class(class_names: Sequence[str], source: Path) -> None:
    """Warn if there is only one class.

    Args:
        class_names: by label.
        source: folder or file of the images.
    """
    if len(class_names) == 1:
        text = "There is one class only, %s, so nothing in %s is to be told apart; is it the folder of the classes?"
        logger.warning(text, class_names[0], source)


def key_of(name: str) -> str:
    """Name of a class's folder: the WordNet ID of a class of ImageNet, or else the class name."""
    match = SYNSET.fullmatch(name)
    return match[1] if match else name


def name_classes(labels: Sequence[str]) -> list[str]:
    """Class names by the labels of a list: sorted if the labels are names, "class 0", "class 1", … if they are numbers.

    Raises:
        ValueError: some labels are numbers and others are not, or a number is far too large.
    """
    numbers = [label for label in labels if label.isdecimal()]
    if not numbers:
        return sorted({*labels})
    if len(numbers) < len(labels):
        name = next(label for label in labels if not label.isdecimal())
        raise ValueError(
            f"Some labels are numbers, e.g. {numbers[0]!r:.40}, and others names, e.g. {name!r:.40}; give one kind, or "
            "the names of all classes in a file (data.classes)."
        )
    highest = max(numbers, key=lambda label: (len(label), label))
    if not NUMBER.fullmatch(highest) or int(highest) >= MOST_CLASSES:
        raise ValueError(
            f"The label {highest:.40} is no number of a class; without a file of class names (data.classes) labels are "
            f"less than {MOST_CLASSES}."
        )
    return [f"class {number}" for number in range(int(highest) + 1)]


def labels_of(classes: Iterable[str], class_names: Sequence[str], source: Path, first: int = 0) -> dict[str, int]:
    """Label of each class.

    Args:
        classes: name or WordNet ID of each, or its number if no class has that as its name.
        class_names: by label.
        source: folder or file of the classes, for the message.
        first: number of the first class.

    Raises:
        ValueError: there is no such class.
    """
    known = {name: label for label, name in enumerate(class_names)}
    known = {key_of(name): label for name, label in known.items()} | known
    labels, unknown = {}, []
    for name in dict.fromkeys(classes):
        label = known.get(name, int(name) - first if NUMBER.fullmatch(name) else len(class_names))
        labels[name] = label
        unknown += [name] if not 0 <= label < len(class_names) else []
    if unknown:
        more = f" (the first of {len(unknown)} such)" if len(unknown) > 1 else ""
        raise ValueError(
            f"{source} has the class {unknown[0]!r:.80}{more}, but the {len(class_names)} classes are "
            f"{', '.join(class_names[:SHOWN])}, … with labels from {first} to {first + len(class_names) - 1}. Give all "
            "classes in a file (data.classes)."
        )
    return labels


def first_number(labels: Iterable[str], class_names: Sequence[str], first: int | None, source: Path) -> int:
    """Number of the first class in the training data: 0, or 1 if the file of class names counts from 1, too.

    Warns if nothing has the label 0.

    Args:
        labels: of the training data; class names among them are ignored.
        class_names: by label.
        first: number of the first class in the file of class names; None if it has no numbers or there is no file.
        source: folder or file of the labels, for messages.

    Raises:
        ValueError: labels count from 1, but classes do not.
    """
    named = {*class_names}
    numbers = {int(label) for label in labels if NUMBER.fullmatch(label) and label not in named}
    if not numbers or 0 in numbers:
        return 0
    if first == 1:
        logger.warning("%s has no label 0: its labels are taken as the numbers of the class file, from 1", source)
        return 1
    if max(numbers) == len(class_names):
        raise ValueError(
            f"The labels in {source} count from 1 to {max(numbers)}, the {len(class_names)} classes from 0. Put the "
            f"numbers into the file of class names, '1 {class_names[0]}' and so on, or take 1 from each label."
        )
    text = "Nothing in %s has the label 0 (%s): if its labels count from 1, take 1 from each"
    logger.warning(text, source, class_names[0])
    return 0
