"""Transfer of a classifier's head to a subset of its classes (22K to 1K)."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from ..files.regular import read_small
from ..training.checks import read_classes
from ..weights.loading import open_weights
from ..weights.matching import defect
from ..weights.parts import CLASSIFIER
from .class_names import key_of

MOST_BYTES = 1 << 24  # of a file of rows
BY_NAME = "names"  # in place of a file of rows


def load_head(head: nn.Linear, source: str, rows: str, class_names: Sequence[str]) -> None:
    """Copy the rows of another classifier's head that belong to the classes of this one.

    Args:
        head: changed in place.
        source: checkpoint of the other classifier, as `read_checkpoint` takes it.
        rows: file with the row of each class in the other head, one per line and from 0, as the authors'
            map22kto1k.txt; or "names" for a checkpoint of this package, which holds its class names.
        class_names: by label.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file has anything but one integer per class, the checkpoint has no such classifier, or it lacks
            a class.
    """
    numbers = find_rows(class_names, read_classes(source)) if rows == BY_NAME else read_rows(Path(rows))
    checkpoint, parts, _ = open_weights(source)
    other = {key: parts.inside[key] for key in CLASSIFIER if key in parts.inside}
    if "head.weight" not in other:
        raise ValueError(f"{source} has no classifier whose rows could be taken; leave model.head_rows out.")
    for key, value in other.items():
        if reason := defect(value):
            raise ValueError(f"{checkpoint.label}: {key} {reason}")
    weight, bias = other["head.weight"], other.get("head.bias")
    classes, width = weight.shape if weight.ndim == 2 else (len(weight.flatten()), 0)
    wrong = width != head.in_features or (bias is not None and bias.shape != (classes,))
    if wrong or len(numbers) != head.out_features or max(numbers) >= classes:
        raise ValueError(
            f"{rows} names {len(numbers)} rows up to {max(numbers)} of the classifier of {source}, which has "
            f"{classes} of {width} numbers; the model has {head.out_features} of {head.in_features}; "
            "give the checkpoint that the rows are of, and one row for each class of the data."
        )
    with torch.no_grad():
        head.weight.copy_(weight[numbers])
        if bias is not None:
            head.bias.copy_(bias[numbers])


def read_rows(path: Path) -> list[int]:
    """Row numbers in a file, from 0, one per line.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has something else, or nothing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path} of rows; give model.head_rows the path of map22kto1k.txt.")
    words = read_small(path, MOST_BYTES).decode("utf-8-sig", errors="replace").split()
    wrong = [word for word in words if not re.fullmatch("[0-9]{1,9}", word)]
    if wrong or not words:
        given = repr(wrong[0][:40]) if wrong else "nothing"
        raise ValueError(f"{path} should have the number of a row on each line, from 0, and has {given}.")
    return [int(word) for word in words]


def find_rows(class_names: Sequence[str], others: Sequence[str]) -> list[int]:
    """Row of each class in another classifier, by class name or by the WordNet ID in it ("n01440764 tench").

    Args:
        class_names: to find.
        others: class names of the other classifier, by row.

    Raises:
        ValueError: a class is missing there, or there more than once.
    """
    keys, known = [key_of(name) for name in class_names], [key_of(name) for name in others]
    rows, counts = {key: row for row, key in enumerate(known)}, Counter(known)
    missing = [name for name, key in zip(class_names, keys, strict=True) if counts[key] != 1]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(class_names)} classes of the data are not among the {len(others)} of the "
            f"checkpoint, or more than once: {', '.join(missing[:5])}, …; give model.head_rows a file with the row of "
            "each class."
        )
    return [rows[key] for key in keys]
