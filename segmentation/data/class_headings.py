"""Headings of a table of classes: the columns of names and of pixel values."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from swinv2.files.text_tables import plain

NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?")
WHOLE = re.compile(r"[+-]?\d+(?:\.0*)?")

# Headings as `plain` makes them: "Pixel Value", "pixel_value" and "pixelValue" are one.
NAMES = ("name", "names", "classname", "classnames", "labelname", "labelnames", "categoryname", "title")
EITHER = ("class", "classes", "label", "labels", "category", "categories", "object", "objects", "description")
PIXELS = (
    *("value", "values", "pixel", "pixelvalue", "pixelvalues", "classvalue", "labelvalue", "maskvalue", "mask"),
    *("grey", "gray", "greyvalue", "grayvalue", "greylevel", "graylevel", "greyscale", "grayscale", "intensity"),
    *("dn", "digitalnumber", "code", "gridcode"),
)
IDS = (
    *("id", "ids", "idx", "index", "indices", "number", "no", "nr", "num", "key", "classid", "classidx", "classindex"),
    *(
        "classnumber",
        "classno",
        "labelid",
        "labelidx",
        "labelindex",
        "labelnumber",
        "categoryid",
        "trainid",
        "trainids",
    ),
    *("pixelid", "maskid", "trainlabel"),
)
COLOURS = ("r", "g", "b", "a", "red", "green", "blue", "alpha", "palette", "html")
COLOUR_WORDS = ("color", "colour", "rgb", "hex")  # words beginning or ending with these
KINDS = {"name": NAMES, "either": EITHER, "pixel": PIXELS, "id": IDS, "colour": COLOURS}
TITLES = (*NAMES, *EITHER[:6], "value", "values", "id", "classid", "pixelvalue")  # headings of a single column
ADE20K = ("idx", "index", "id", "value")  # headings of the first column if names are synonyms separated by commas


class Columns(NamedTuple):
    """Positions of the columns that are used.

    Attributes:
        name: position of the names.
        value: position of the pixel values; None if there are none.
        unused: headings of the other columns.
    """

    name: int
    value: int | None
    unused: list[str]


class Headings(NamedTuple):
    """Headings in the first row of a table.

    Attributes:
        words: the headings as they are written.
        kinds: "name", "either" (names or values), "pixel", "id", "colour", or "" for other words.
    """

    words: list[str]
    kinds: list[str]

    @classmethod
    def find(cls, cells: Sequence[str], certain: bool) -> "Headings | None":
        """Find the headings in the first row of a file; None if it has none.

        Args:
            cells: cells of the row.
            certain: whether they are surely cells of a table, so that one known heading is enough; otherwise all must
                be.
        """
        kinds = [kind_of(cell) for cell in cells]
        named = certain and any(kind in ("name", "either") for kind in kinds)
        if len(cells) < 2 or not (named or all(kinds)) or any(WHOLE.fullmatch(cell) for cell in cells):
            return None
        return cls(list(cells), kinds)

    def choose(self, rows: Sequence[Sequence[str]]) -> Columns:
        """Choose the columns of names and values.

        Args:
            rows: all rows below the headings, each of the same length.

        Raises:
            ValueError: there is no column of names, or the column of values is not certain.
        """
        value = self._value(rows)
        name = self._name(rows, value)
        if value is None:
            self._check_others(rows, name)
        return Columns(name, value, [word for at, word in enumerate(self.words) if at not in (name, value)])

    def has_synonyms(self) -> bool:
        """Whether the table is like ADE20K's, where names are synonyms separated by commas."""
        words = [word.lower() for word in self.words]
        return words[0] in ADE20K and "name" in words

    def _of(self, *kinds: str) -> list[int]:
        return [at for at, kind in enumerate(self.kinds) if kind in kinds]

    def _value(self, rows: Sequence[Sequence[str]]) -> int | None:
        """Position of the values."""
        numbers = [at for at in self._of("either") if has_numbers(rows, at, NUMBER)]
        named = self._of("name", "either")
        found = self._of("pixel") or self._of("id") or (numbers if len(numbers) < len(named) else [])
        if len({tuple(row[at] for row in rows) for at in found}) > 1:
            words = " and ".join(repr(self.words[at]) for at in found)
            raise ValueError(f"The columns {words} may both be the pixel values; keep one, or call it 'value'.")
        return found[0] if found else None

    def _name(self, rows: Sequence[Sequence[str]], value: int | None) -> int:
        """Position of the names."""
        texts = [at for at in self._of("either", "") if at != value and not has_numbers(rows, at, NUMBER)]
        either = sorted(set(texts) & set(self._of("either")), key=lambda at: EITHER.index(plain(self.words[at])))
        found = self._of("name") or either or (texts if len(texts) == 1 else [])
        if not found:
            raise ValueError(f"No column of {', '.join(map(repr, self.words))} is that of the names; call it 'name'.")
        return found[0]

    def _check_others(self, rows: Sequence[Sequence[str]], name: int) -> None:
        """Raise if a column other than the names may be the values."""
        for at in self._of("", "either", "name"):
            distinct = len({row[at] for row in rows}) == len(rows) > 1
            if at != name and distinct and has_numbers(rows, at, WHOLE):
                raise ValueError(
                    f"The column {self.words[at]!r} may be the pixel values; call it 'value', or take it out if the "
                    "values count on from line to line."
                )


def is_title(text: str) -> bool:
    """Whether a line is the heading of a single column."""
    return plain(text) in TITLES


def kind_of(word: str) -> str:
    """Kind of column that a heading stands for, see `Headings`."""
    word = "number" if word == "#" else plain(word)
    coloured = word.startswith(COLOUR_WORDS) or word.endswith(COLOUR_WORDS)
    return next((kind for kind, words in KINDS.items() if word in words), "colour" if coloured else "")


def has_numbers(rows: Sequence[Sequence[str]], column: int, kind: re.Pattern[str]) -> bool:
    """Whether at least half of a column's cells are numbers."""
    return bool(rows) and 2 * sum(kind.fullmatch(row[column]) is not None for row in rows) >= len(rows)
