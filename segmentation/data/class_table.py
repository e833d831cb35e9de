"""Names and pixel values of classes in lines of text: columns with headings, or a number and a name per line."""

import csv
import logging
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from segmentation.data.class_headings import NUMBER, WHOLE, Headings, is_title
from segmentation.data.class_numbers import DELIMITERS, Cut, number_behind, number_in_front, to_value
from swinv2.files.text_lines import Line
from swinv2.files.text_tables import plain_list, unquoted

logger = logging.getLogger(__name__)

COLUMNS = ("\t", ";", "|")  # delimiters that end a name
CERTAIN = ("\t", ";", "|", ",")  # delimiters that make a table of lines
HEX = r"#[0-9a-fA-F]{6}\b"
# three numbers, or HTML's #rrggbb
COLOUR = rf"(?:{HEX}|[\[(]?(?:\b\d{{1,3}}[ \t]{{0,3}}[,;: \t][ \t]{{0,3}}){{2}}\d{{1,3}}\b[\])]?)"
COLOUR_IN_FRONT = re.compile(rf"^{COLOUR}[\s,:;=|]{{1,16}}")
COLOUR_BEHIND = re.compile(rf"[\s,:;=|]{{1,16}}{COLOUR}[:;,]{{0,3}}$")
LABELME = "__ignore__"  # first line of labelme's lists, where values count from -1
NO_NAMES = ("---", "...", "[", "]", "{", "}")  # of YAML and JSON

FORMATS = (
    "A class list has one class a line: a name, or its pixel value and its name ('7: sky'); or it is a table with "
    "headings, 'name,value' or Idx and Name as in ADE20K's objectInfo150.txt; or it is JSON or YAML."
)


class Row(NamedTuple):
    """Class as a file lists it.

    Attributes:
        place: place in the file, e.g. "line 3, '7: sky'".
        name: name of the class.
        value: pixel value of the class; None if the file has names only.
    """

    place: str
    name: str
    value: int | None = None


def read_rows(lines: Sequence[Line], commas: bool, first: int) -> list[Row]:
    """Read the classes in the lines of a class list.

    Args:
        lines: lines that are neither empty nor comments.
        commas: whether a comma ends a name, as in a .csv file.
        first: value of the first class where the lines have names only.

    Raises:
        ValueError: a line unlike the others, a value that is no whole number, or numbers of ambiguous meaning.
    """
    if not lines:
        return []
    for delimiter in (*DELIMITERS, " "):
        headings = Headings.find(split(lines[0].text.lstrip("# "), delimiter), certain=delimiter in CERTAIN)
        if headings is not None:
            return read_table(headings, lines[1:], delimiter)
    lines = lines[1:] if is_title(lines[0].text) else lines
    lines = plain_list(without_colours(lines))
    return read_values_in_front(lines, commas) or read_values_behind(lines, commas, first) or read_names(lines, first)


def read_table(headings: Headings, lines: Sequence[Line], delimiter: str) -> list[Row]:
    """Read the classes in a table with headings.

    Raises:
        ValueError: a row without value or name, or columns of ambiguous meaning.
    """
    width = len(headings.words)
    if delimiter == " ":  # names of several words are last, or first of two columns
        at_start = width == 2 and headings.kinds[1] in ("pixel", "id")
        rows = [line.text.rsplit(None, 1) if at_start else line.text.split(None, width - 1) for line in lines]
    else:
        rows = [split(line.text, delimiter) for line in lines]
    rows = [[*row, *[""] * width][:width] for row in rows]
    columns = headings.choose(rows)
    if columns.value is None and columns.unused and rows:
        tell_unused(f"The columns {', '.join(map(repr, columns.unused))} of the class list are not used")
    found = []
    for line, row in zip(lines, rows, strict=True):
        name, value = row[columns.name], "0" if columns.value is None else row[columns.value]
        if not name or not NUMBER.fullmatch(value):
            column = headings.words[columns.name if columns.value is None else columns.value]
            raise ValueError(
                f"Line {line.number}: the row {line.text!r:.80} has no whole number in the column {column!r}, or no "
                f"name. {FORMATS}"
            )
        found.append(Row(str(line), name, None if columns.value is None else to_value(value, f"Line {line.number}")))
    like_ade20k = delimiter in ("\t", ",") and headings.has_synonyms()
    return with_first_synonyms(found) if like_ade20k else found


def without_colours(lines: Sequence[Line]) -> Sequence[Line]:
    """Remove the colour at the start or end of each line, if all lines have one.

    Raises:
        ValueError: there are numbers beside the colours.
    """
    for colour, cut in ((COLOUR_IN_FRONT, number_in_front), (COLOUR_BEHIND, number_behind)):
        rests = [colour.sub("", line.text).strip() for line in lines]
        if all(rest and len(rest) < len(line.text) for rest, line in zip(rests, lines, strict=True)):
            if any(map(cut, rests)):
                raise ValueError(
                    f"There are several columns of numbers, as in {lines[0]}; say by headings which are the pixel "
                    "values, e.g. 'name,red,green,blue,value'."
                )
            tell_unused("The class list has a colour for each class, which is not used")
            return [line._replace(text=rest) for line, rest in zip(lines, rests, strict=True)]
    return lines


def read_values_in_front(lines: Sequence[Line], commas: bool) -> list[Row]:
    """Read the classes in lines that begin with their values; none if no line does.

    Raises:
        ValueError: a line unlike the others, or several numbers in front of each name.
    """
    cuts = [number_in_front(line.text) for line in lines]
    if not any(cuts):
        return []
    rows = [row_of(line, cut, commas) for line, cut in zip(lines, cuts, strict=True)]
    if all(is_number_again(row, cut) for row, cut in zip(rows, cuts, strict=True)):
        raise ValueError(
            f"There are several columns of numbers, as in {lines[0]}; say by headings which are the pixel values and "
            "which the names, e.g. 'value,other,name'."
        )
    return rows


def is_number_again(row: Row, cut: Cut | None) -> bool:
    """Whether another number follows the value of a class, where its name should be."""
    again = number_in_front(row.name)
    of_name = again is not None and cut is not None and again.delimiter == cut.delimiter
    return of_name or (NUMBER.fullmatch(row.name) is not None and row.name != str(row.value))


def read_values_behind(lines: Sequence[Line], commas: bool, first: int) -> list[Row]:
    """Read the classes in lines that end in their values; none if the numbers are part of the names or too few.

    Raises:
        ValueError: a line unlike the others, or numbers that may be values or part of the names.
    """
    cuts = [number_behind(line.text) for line in lines]
    certain = [cut is not None and cut.delimiter != " " for cut in cuts]
    alike = len({cut.rest if cut else "" for cut in cuts}) == 1  # "class 0", "class 1": the number is part of the name
    if alike or not (all(cuts) or 2 * sum(certain) >= len(lines)):
        return []
    rows = [row_of(line, cut, commas) for line, cut in zip(lines, cuts, strict=True)]
    if not any(certain) and [row.value for row in rows] != [*range(first, first + len(rows))]:
        raise ValueError(
            f"The lines end in numbers, as {lines[0]}, which may be pixel values or parts of the names; write the "
            "value first, '1: road', or put the names in quotes."
        )
    return rows


def read_names(lines: Sequence[Line], first: int) -> list[Row]:
    """Read the classes in lines of names only.

    Raises:
        ValueError: a line that is no name, or lines that are numbers other than the counted values.
    """
    for line in lines:
        if line.text in NO_NAMES or line.text.startswith("- "):
            raise ValueError(f"{line} is no name of a class. {FORMATS}")
    if lines and lines[0].text == LABELME:
        logger.warning("%s, labelme's name of pixels to be left out, is no class; values count from the next.", LABELME)
        lines = lines[1:]
    numbers = [line.text for line in lines]
    if all(map(WHOLE.fullmatch, numbers)) and numbers != [str(first + at) for at in range(len(numbers))]:
        raise ValueError(f"The lines are numbers without names, as {lines[0]}. {FORMATS}")
    return [Row(str(line), unquoted(line.text)) for line in lines]


def row_of(line: Line, cut: Cut | None, commas: bool) -> Row:
    """Row of the class in a line.

    Args:
        line: the line.
        cut: its value and name; None if it has none.
        commas: whether a comma ends a name, too.

    Raises:
        ValueError: the line has no value and name, or the value is out of range.
    """
    if cut is None:
        raise ValueError(
            f"Line {line.number}: the line {line.text!r:.80} has no pixel value and name, as others have. {FORMATS}"
        )
    ends_name = cut.delimiter in COLUMNS or (cut.delimiter == "," and commas)
    name = split(cut.rest.partition("\t")[0], cut.delimiter if ends_name else "\t")[0]
    return Row(str(line), name, to_value(cut.number, f"Line {line.number}"))


def with_first_synonyms(rows: Sequence[Row]) -> list[Row]:
    """Reduce names that are lists of synonyms to the first, or keep all where classes share the first."""
    synonyms = [[name.strip() for name in re.split("[;,]", row.name)] for row in rows]
    shared = Counter(names[0] for names in synonyms)
    return [
        row._replace(name=names[0] if shared[names[0]] == 1 else ", ".join(names))
        for row, names in zip(rows, synonyms, strict=True)
    ]


def split(text: str, delimiter: str) -> list[str]:
    """Cells of a row, without quotes."""
    if delimiter == " ":
        return text.split()
    cells = next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [""])
    return [unquoted(cell.strip()) for cell in cells]


def tell_unused(what: str) -> None:
    """Log that something in the file is not used, and that values may count from line to line."""
    logger.warning("%s: where there is no other column of pixel values, they count from line to line.", what)
