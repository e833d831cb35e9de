"""Formats of lists of videos: Kinetics, Something-Something, tables and plain text."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from swinv2.files.structured_text import is_tree
from swinv2.files.text_lines import Line, lines_of, read_text
from swinv2.files.text_tables import plain, unquoted
from video.data.list_json import rows_of_json, rows_of_json_lines
from video.data.list_rows import Row, row_of
from video.data.list_tables import LABELS, PATHS, delimiter_of_most, rows_of_table

FORMATS = (
    "A list of videos is text with 'path label' or 'path,label' a line; a table with headings, e.g. 'path,label'; the "
    "CSV of Kinetics (label, youtube_id, time_start, time_end, split); or Something-Something's JSON (id and template) "
    "or CSV ('id;label')."
)


def read_rows(path: Path) -> list[Row]:
    """Read the videos in a list.

    Args:
        path: file in a format of `FORMATS`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no such list, is empty, or has no labels.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no list of videos {path}; check data.root and the name. {FORMATS}")
    text = read_text(path, FORMATS)
    try:
        suffix = path.suffix.lower()
        parse = rows_of_json if suffix not in PARSERS and is_tree(text, suffix) else PARSERS.get(suffix, rows_of_text)
        rows = parse(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error} {FORMATS}") from error
    if not rows:
        raise ValueError(f"The list {path} is empty. {FORMATS}")
    return rows


def rows_of_text(text: str) -> list[Row]:
    """Rows of lines with a path, which may contain blanks, and a number; or of a table.

    Raises:
        ValueError: a line without label.
    """
    lines = lines_of(text)
    return rows_of_lines(lines) if are_plain(lines) else rows_of_table(lines) or rows_of_lines(lines)


def rows_of_csv(text: str) -> list[Row]:
    """Rows of a table, or of plain text with the suffix .csv, as in SlowFast and VideoMAE.

    Raises:
        ValueError: a row without label.
    """
    lines = lines_of(text)
    only_called = delimiter_of_most(lines) in (None, "\t") and are_plain(lines)
    return rows_of_lines(lines) if only_called else rows_of_table(lines) or rows_of_lines(lines)


def are_plain(lines: Sequence[Line]) -> bool:
    """Whether all lines end in a number, except for headings separated by blanks."""
    return all(cut(line.text) for line in lines[1:]) and all(is_heading(line) or cut(line.text) for line in lines[:1])


def rows_of_lines(lines: Sequence[Line]) -> list[Row]:
    """Rows of lines with a path and a number; for folders of frames also with their length in between.

    Raises:
        ValueError: a line without label.
    """
    if len(lines) > 1 and is_heading(lines[0]):
        lines = lines[1:]
    rows = []
    for line in lines:
        parts = cut(line.text)
        if parts is None:
            raise ValueError(f"The {line}, has no path and label; a label is the number of a class, from 0.")
        inner = cut(parts.path)
        folder = [unquoted(inner.path)] if inner and inner.sign == parts.sign else []
        rows.append(row_of(parts.number, [unquoted(parts.path), *folder], line))
    return rows


class Parts(NamedTuple):
    """Parts of a line.

    Attributes:
        path: text before the delimiter.
        sign: delimiter of path and number; one blank for several blanks or a tab.
        number: number at the end.
    """

    path: str
    sign: str
    number: str


def cut(text: str) -> Parts | None:
    """Split a line at the delimiter before the number at its end; None without path, delimiter or number."""
    front = text.rstrip("0123456789")
    bare = front.rstrip()
    sign = bare[-1:] if bare.endswith((",", ";", "|")) else " " if bare != front else ""
    path = bare.removesuffix(sign).rstrip()
    return Parts(path, sign, text[len(front) :]) if path and sign and front != text else None


def is_heading(line: Line) -> bool:
    """Whether a line is headings separated by blanks, of paths first and of labels last."""
    words = [plain(word) for word in line.text.lstrip("# ").split()]
    return len(words) > 1 and words[0] in PATHS and words[-1] in LABELS


PARSERS = {
    ".csv": rows_of_csv,
    ".tsv": rows_of_csv,
    ".json": rows_of_json,
    ".jsonl": rows_of_json_lines,
    ".ndjson": rows_of_json_lines,
}
