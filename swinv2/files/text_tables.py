"""Tables in lines of text: cells, delimiters and headings."""

import csv
import re
from collections.abc import Collection, Sequence

from .text_lines import Line

DELIMITERS = "\t;|,"
SPLITS = ("split", "set", "subset", "fold", "usage", "phase", "partition")  # headings, see `check_one_split`
PARTS = frozenset(  # names of splits of a data set
    ("train", "training", "val", "valid", "validate", "validation", "dev", "test", "testing", "eval", "evaluation")
)
NUMBERED = re.compile(
    r"[\[(]?(\d{1,9})(?:\.?[\])]|\s*[-–—=]+>|\s+[-–—]|\.(?=\s))\s+(?=\S)"
)  # "1) ", "[1] ", "1 - ", "1. "


def split(line: Line, delimiter: str) -> list[str]:
    """Cells of a line, without quotes and surrounding blanks.

    Raises:
        ValueError: the quotes are unbalanced.
    """
    if '"' not in line.text and "'" not in line.text:
        return [cell.strip() for cell in line.text.split(delimiter)]
    try:
        cells = next(csv.reader([line.text], delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(f"The cells of {line} cannot be told apart: {error}.") from error
    return [unquoted(cell.strip()) for cell in cells]


def delimiter_of(lines: Sequence[Line]) -> str | None:
    """Delimiter that splits all lines into the same number of cells, 2 or more; None if there is none.

    Args:
        lines: one or more.
    """
    for delimiter in DELIMITERS:
        if delimiter in lines[0].text:
            counts = {len(split(line, delimiter)) for line in lines}
            if len(counts) == 1 and counts != {1}:
                return delimiter
    return None


def plain(heading: str) -> str:
    """Heading in lower case without blanks and signs: the same for "Class Name", "class_name" and "className"."""
    return re.sub(r"[\W_]+", "", heading.lower())


def positions(headings: Sequence[str], words: Collection[str]) -> list[int]:
    """Positions of columns with given headings, in the order of `words`.

    Args:
        headings: of the columns.
        words: headings to find, in the form of `plain`, the likeliest first.
    """
    plainly = [plain(heading) for heading in headings]
    return [at for word in words for at, heading in enumerate(plainly) if heading == word]


def plain_list(lines: Sequence[Line]) -> list[Line]:
    """Lines of a list without trailing commas, and with "1: name" for "1) name" and similar numbers.

    Commas are removed only if all lines but the last have one, numbers are changed only if all lines have one.
    """
    if len(lines) > 1 and all(line.text.endswith(",") for line in lines[:-1]):
        lines = [line._replace(text=line.text.rstrip(", ") or line.text) for line in lines]
    if all(NUMBERED.match(line.text) for line in lines):
        lines = [line._replace(text=NUMBERED.sub(r"\1: ", line.text, count=1)) for line in lines]
    return [*lines]


def check_one_split(heading: str, values: Collection[str]) -> None:
    """Raise if a column of splits names several of them, because all rows would be used.

    Args:
        heading: of the column; columns other than those of splits may have any values.
        values: in the column.

    Raises:
        ValueError: it has several splits, by their names or numbers.
    """
    several = sorted({*values} - {""})
    known = any(value.isdecimal() or plain(value) in PARTS for value in several)
    if plain(heading) in SPLITS and len(several) > 1 and known:
        raise ValueError(
            f"The column {heading!r} has {', '.join(several[:3])}, and all rows would be taken; write a list of each."
        )


def unquoted(text: str) -> str:
    """Text without surrounding quotes; doubled quotes inside become single."""
    quote, inner = text[:1], text[1:-1]
    if len(text) < 2 or quote not in ("'", '"') or text[-1] != quote or quote in inner.replace(2 * quote, ""):
        return text
    return inner.replace(2 * quote, quote).strip()
