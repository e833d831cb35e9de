"""Class list: names of the classes, and their pixel values in label maps.

`read_classes` chooses the reader of a file: `class_json` for JSON and YAML, `class_table` for lines of text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int16, UInt, UInt8, UInt16

from segmentation.data.class_json import read_json
from segmentation.data.class_numbers import LEVELS
from segmentation.data.class_table import FORMATS, Row, read_rows
from swinv2.files.structured_text import is_tree
from swinv2.files.text_lines import lines_of, read_text

IGNORED = -1  # label of pixels without a class
UNKNOWN = -2  # mark of values that are not in the list
SHOWN = 5  # wrong values in a message
SUMMARY = 8  # classes in a summary


@dataclass(frozen=True)
class ClassList:
    """Names of the classes by label, and their pixel values in label maps.

    Attributes:
        names: name of each label 0, 1, …
        values: pixel value of each class, 0 to 65535; gaps are allowed.
        reduce_zero_label: whether 0 is ignored and classes count from 1 (as in ADE20K).
        ignore_index: other value to ignore, or several, 0 to 65535; the first is the one to write.

    Raises:
        ValueError: less than two classes, no value to ignore, a name or value that is given twice, or a value that
            cannot be a class.
    """

    names: tuple[str, ...]
    values: tuple[int, ...]
    reduce_zero_label: bool = False
    ignore_index: int | Sequence[int] = 255

    def __post_init__(self) -> None:
        """Raise unless names and values are valid."""
        if not self.names:
            raise ValueError(f"The class list is empty. {FORMATS}")
        if len(self.names) == 1:
            raise ValueError(
                f"The class list has one class, {self.names[0]!r}; a segmenter tells two or more apart. List the "
                "background as a class, too."
            )
        if not self.ignored:
            raise ValueError("ignore_index is empty; give a value, e.g. one that no file has, 65535.")
        for what, given in (("name", self.names), ("value", self.values)):
            if len(given) > len(set(given)):
                twice = next(one for one in given if given.count(one) > 1)
                raise ValueError(f"The class list has the {what} {twice!r} twice; each class needs its own.")
        if wrong := [value for value in (*self.values, *self.ignored) if not 0 <= value < LEVELS]:
            raise ValueError(f"The pixel value {wrong[0]} is out of range; files hold 0 to {LEVELS - 1}.")
        if self.reduce_zero_label and 0 in self.values:
            raise ValueError(
                f"The class list gives the value 0 to {self.names[self.values.index(0)]!r}, but with reduce_zero_label "
                "0 means that nothing is known. Remove the line, or set reduce_zero_label to false."
            )

    @property
    def ignored(self) -> tuple[int, ...]:
        """All values to ignore; the first is the one to write."""
        given = (self.ignore_index,) if isinstance(self.ignore_index, int) else self.ignore_index
        return tuple(dict.fromkeys((0, *given) if self.reduce_zero_label else given))

    @classmethod
    def numbered(cls, num_classes: int) -> "ClassList":
        """Class list without real names, where values are the labels."""
        unused = 255 if num_classes <= 255 else LEVELS - 1
        return cls(tuple(f"class {i}" for i in range(num_classes)), tuple(range(num_classes)), ignore_index=unused)

    @classmethod
    def read(cls, path: Path, reduce_zero_label: bool = False, ignore_index: int | Sequence[int] = 255) -> "ClassList":
        """Read the class list in a text file.

        Args:
            path: file in one of three forms. One class per line, after comments ('# …'): a name (values then count from
                0, or from 1 with `reduce_zero_label`), value and name, or name and value, separated by a colon, comma,
                semicolon or tab, or after a leading value by blanks; text after another tab is ignored. A table with
                usual headings, such as ADE20K's objectInfo150.txt or .csv or CamVid's class_dict.csv; colours are
                ignored. JSON or YAML: names, names with values, or entries like COCO's categories.
            reduce_zero_label: as in `ClassList`.
            ignore_index: as in `ClassList`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is no class list.
        """
        if not path.is_file():
            raise FileNotFoundError(f"There is no class list {path}; check data.root and data.classes. {FORMATS}")
        text, first = read_text(path, FORMATS), int(reduce_zero_label)
        try:
            rows = read_classes(text, path.suffix.lower(), first)
            values = [first + at if row.value is None else row.value for at, row in enumerate(rows)]
            return cls(tuple(row.name for row in rows), tuple(values), reduce_zero_label, ignore_index)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def to_labels(
        self, values: UInt[np.ndarray, "h w"], source: Path | str = "The label map"
    ) -> Int16[np.ndarray, "h w"]:
        """Labels of the values in a label map; `IGNORED` for ignored values.

        Args:
            values: values of 8 or 16 bits.
            source: their file, for the message.

        Raises:
            ValueError: a value that is no class, or an `ignore_index` that is a class.
        """
        labels = self._labels[values]
        if labels.min() == UNKNOWN:
            raise ValueError(self._complaint(values[labels == UNKNOWN], source))
        return labels

    def to_values(self, labels: Int16[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"]:
        """Values of labels for a label map, in 8 bits if those of all classes fit."""
        values = np.array([*self.values, self.ignored[0]], np.uint16)[labels]  # IGNORED is the last one
        return values if max(max(self.values), int(values.max())) > 255 else values.astype(np.uint8)

    def summary(self) -> str:
        """One line with the value of each class: of all, or of the first and the last."""
        listed = [f"{value} {name}" for value, name in zip(self.values, self.names, strict=True)]
        shown = listed if len(listed) <= SUMMARY else [*listed[:3], "…", listed[-1]]
        return f"{', '.join(shown)} ({len(listed)} classes); left out: {', '.join(map(str, self.ignored))}"

    @cached_property
    def _labels(self) -> Int16[np.ndarray, " levels"]:
        if both := [value for value in self.ignored if value in self.values]:
            name = self.names[self.values.index(both[0])]
            raise ValueError(
                f"ignore_index {both[0]} is the value of the class {name!r}; give the value of pixels to be "
                f"left out, or one that no file has, e.g. {LEVELS - 1}."
            )
        table = np.full(LEVELS, UNKNOWN, np.int16)
        table[[*self.ignored]] = IGNORED
        table[[*self.values]] = np.arange(len(self.values))
        return table

    def _complaint(self, wrong: UInt[np.ndarray, " n"], source: Path | str) -> str:
        found = [
            f"{value} ({count} pixels)" for value, count in zip(*np.unique(wrong, return_counts=True), strict=True)
        ]
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        return (
            f"{source} has pixel values that are no class: {', '.join(found[:SHOWN])}{more}. The list has "
            f"{len(self.names)} classes with values from {min(self.values)} to {max(self.values)}, and pixels of "
            f"{' and '.join(map(str, self.ignored))} are left out. To leave out 0 too, set reduce_zero_label; another "
            "value, ignore_index; otherwise add the missing classes to the list."
        )


def read_classes(text: str, suffix: str, first: int) -> list[Row]:
    """Read the classes in a text of any known form, each with a unique name and value.

    Args:
        text: content of a file.
        suffix: suffix of the file, in lower case.
        first: value of the first class where the text has names only.

    Raises:
        ValueError: the text is no class list.
    """
    tree = is_tree(text, suffix)
    rows = read_json(text, suffix) if tree else read_rows(lines_of(text), suffix == ".csv", first)
    check_unique(rows)
    return rows


def check_unique(rows: Sequence[Row]) -> None:
    """Raise unless each class of a file has a unique name and value.

    Raises:
        ValueError: a name is missing, or a name or value occurs twice.
    """
    places: dict[tuple[str, str | int], str] = {}
    for row in rows:
        if not row.name:
            raise ValueError(f"There is no name in {row.place}. {FORMATS}")
        for what, given in (("name", row.name), ("value", row.value)):
            if given is None:
                continue
            if (what, given) in places:
                raise ValueError(
                    f"The class list has the {what} {given!r} twice, in {places[what, given]}, and in {row.place}; "
                    "each class needs its own."
                )
            places[what, given] = row.place
