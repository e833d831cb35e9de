"""Which value in the mask files means which class."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int16, UInt, UInt8, UInt16

IGNORED = -1  # label of pixels of which nothing is known
UNKNOWN = -2  # mark of values that the list does not have
LEVELS = 1 << 16  # values of 16 bits

HEADINGS = ("idx", "index", "id", "value")  # of the first column, where a file has headings
NUMBERED = re.compile(r"(\d+)(?:\s*[:,\t]\s*|\s+)(\S.*)")
SHOWN = 5  # wrong values in a message
SUMMARY = 8  # classes in a summary

FORMATS = (
    "A class list has one class a line: a name, or its pixel value and its name ('7: sky'), or it is a table with the "
    "columns Idx and Name, like ADE20K's objectInfo150.txt."
)


@dataclass(frozen=True)
class ClassList:
    """Names of the classes by label, and the values that stand for them in mask files.

    Attributes:
        names: one for each label 0, 1, …
        values: pixel value of each class, 0 to 65535; gaps are allowed.
        reduce_zero_label: 0 means that nothing is known, and classes count from 1 (as in ADE20K).
        ignore_index: the other value that means so, or several, 0 to 65535; to write, the first counts.

    Raises:
        ValueError: less than two classes, no value to be ignored, a name or value that is given twice, or a value that
            cannot be a class.
    """

    names: tuple[str, ...]
    values: tuple[int, ...]
    reduce_zero_label: bool = False
    ignore_index: int | Sequence[int] = 255

    def __post_init__(self) -> None:
        """Check names and values."""
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
        """All values that mean that nothing is known; the first is the one to write."""
        given = (self.ignore_index,) if isinstance(self.ignore_index, int) else self.ignore_index
        return tuple(dict.fromkeys((0, *given) if self.reduce_zero_label else given))

    @classmethod
    def numbered(cls, num_classes: int) -> "ClassList":
        """Classes without names, whose values are their labels."""
        unused = 255 if num_classes <= 255 else LEVELS - 1
        return cls(tuple(f"class {i}" for i in range(num_classes)), tuple(range(num_classes)), ignore_index=unused)

    @classmethod
    def read(cls, path: Path, reduce_zero_label: bool = False, ignore_index: int | Sequence[int] = 255) -> "ClassList":
        """The class list in a text file; lines that begin with # do not count.

        Args:
            path: of one class a line: names only (values then count from 0, or 1 with `reduce_zero_label`), value and
                name (between them a colon, comma, tab or blanks; what follows another tab does not count), or ADE20K's
                objectInfo150.txt or .csv.
            reduce_zero_label: as in the class.
            ignore_index: as in the class.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no class list.
        """
        if not path.is_file():
            raise FileNotFoundError(f"There is no class list {path}; check data.root and data.classes. {FORMATS}")
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
            lines = [line for line in lines if line and not line.startswith("#")]
            names, values = parse(lines, "," if path.suffix.lower() == ".csv" else "\t", int(reduce_zero_label))
            return cls(names, values, reduce_zero_label, ignore_index)
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not a text file in UTF-8. {FORMATS}") from error
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def to_labels(
        self, values: UInt[np.ndarray, "h w"], source: Path | str = "The label map"
    ) -> Int16[np.ndarray, "h w"]:
        """Labels of the values in a mask file; `IGNORED` where nothing is known.

        Args:
            values: 8 or 16 bits.
            source: where they are from, for the message.

        Raises:
            ValueError: a value that is no class, or an `ignore_index` that is one.
        """
        labels = self._labels[values]
        if labels.min() == UNKNOWN:
            raise ValueError(self._complaint(values[labels == UNKNOWN], source))
        return labels

    def to_values(self, labels: Int16[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"]:
        """The values that stand for labels in a mask file, in 8 bits if those of all classes fit."""
        values = np.array([*self.values, self.ignored[0]], np.uint16)[labels]  # IGNORED is the last one
        return values if max(max(self.values), int(values.max())) > 255 else values.astype(np.uint8)

    def summary(self) -> str:
        """Which value means which class, in a line: all of them, or the first and the last."""
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


def parse(lines: list[str], delimiter: str, first: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and values in the lines of a class list.

    Args:
        lines: without empty ones.
        delimiter: between columns.
        first: value of the first class where the lines have names only.

    Raises:
        ValueError: a line unlike the others, or a value that is no number.
    """
    columns = [heading.strip().lower() for heading in lines[0].split(delimiter)] if lines else []
    if "name" in columns and columns[0] in HEADINGS:
        return parse_table(lines[1:], delimiter, columns.index("name"))
    numbered = [NUMBERED.fullmatch(line) for line in lines]
    if not any(numbered):
        return tuple(lines), tuple(range(first, first + len(lines)))
    for line, match in zip(lines, numbered, strict=True):
        if match is None:
            raise ValueError(f"The line {line!r} has no pixel value and name, as others have. {FORMATS}")
    matches = [match for match in numbered if match]
    return tuple(m[2].split(delimiter)[0].strip() for m in matches), tuple(int(m[1]) for m in matches)


def parse_table(lines: list[str], delimiter: str, column: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and values in the rows of a table; of synonyms the first, or all where classes share the first.

    Args:
        lines: below the headings.
        delimiter: between columns.
        column: position of the names.

    Raises:
        ValueError: a row without value or name.
    """
    synonyms, values = [], []
    for line, row in zip(lines, csv.reader(lines, delimiter=delimiter), strict=True):
        if len(row) <= column or not row[0].strip().isdecimal() or not row[column].strip():
            raise ValueError(f"The row {line!r} has no whole number in its first column, or no name. {FORMATS}")
        values.append(int(row[0]))
        synonyms.append([name.strip() for name in re.split("[;,]", row[column])])
    firsts = [names[0] for names in synonyms]
    return tuple(n[0] if firsts.count(n[0]) == 1 else ", ".join(n) for n in synonyms), tuple(values)
