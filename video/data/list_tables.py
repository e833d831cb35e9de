"""Lists of videos that are tables: columns of paths and labels, found by headings or by content."""

import logging
import re
from collections.abc import Sequence
from functools import cache

from swinv2.files.text_lines import Line
from swinv2.files.text_tables import DELIMITERS, check_one_split, plain, positions, split
from video.data.list_rows import Row, kinetics_places, row_of
from video.readers.suffixes import SUFFIXES

logger = logging.getLogger(__name__)

PATHS = (  # headings as `plain` makes them, most likely first
    *("path", "paths", "videopath", "filepath", "relativepath", "clippath", "framepath", "file", "files", "filename"),
    *(
        "filenames",
        "videofile",
        "videofilename",
        "videoname",
        "vidname",
        "video",
        "videos",
        "clip",
        "clips",
        "clipname",
        "name",
    ),
    *("framedir", "framefolder", "framesdir", "folder", "dir", "directory", "youtubeid", "ytid", "videoid", "vid"),
    *("clipid", "id", "ids", "uid", "key", "item", "sample"),
)
LABELS = (
    *("label", "labels", "labelid", "labelidx", "labelindex", "labelname", "class", "classes", "classid", "classidx"),
    *("classindex", "classname", "classlabel", "videolabel", "videoclass", "category", "categoryid", "categoryname"),
    *("tag", "tags", "target", "targets", "y", "action", "actionid", "actionlabel", "actionname", "activity", "verb"),
    *("gesture", "sign", "gloss", "emotion", "event", "template", "type", "groundtruth", "gt", "annotation"),
)
CERTAIN = (  # headings that are no names of videos or classes
    *(
        "path",
        "paths",
        "videopath",
        "filepath",
        "clippath",
        "filename",
        "filenames",
        "videoname",
        "videofile",
        "videoid",
    ),
    *("youtubeid", "label", "labels", "labelid", "labelname", "class", "classes", "classid", "classname", "classlabel"),
    *("category", "categoryid", "categoryname", "target"),
)
NUMBER = re.compile(r"[0-9]+(?:\.0*)?")
KINETICS, TIMES = "youtubeid", ("timestart", "timeend")
PART = re.compile(  # headings of the start or end of a part of a video
    "(start|stop|end|begin|segment|offset)(time|frame|sec|seconds|timestamp|s|ms|idx|index)?|(t|time|frame)(start|stop|end)"
)
FIX = "Name the columns by headings, e.g. 'path,label'."


def rows_of_table(lines: Sequence[Line]) -> list[Row]:
    """Rows of a table: path or id, and number or name of the class; none if the lines are no table.

    Raises:
        ValueError: a row without path or label, or headings that do not identify these columns.
    """
    delimiter = delimiter_of_most(lines)
    if delimiter is None:
        return []
    written = split(lines[0], delimiter)
    headings = [plain(cell) for cell in written]
    columns = columns_by_heading(headings, written)
    if columns is None:
        return rows_of_pairs(lines, delimiter)
    path, label = columns
    times = [at for word in TIMES for at in positions(headings, [word])] if headings[path] == KINETICS else []
    rows = []
    table = [split(line, delimiter) for line in lines[1:]]
    for at, word in enumerate(written):
        check_one_split(word, {cells[at] for cells in table if at < len(cells)})
    if not times:
        tell_parts([word for word in written if PART.fullmatch(plain(word))])
    for line, cells in zip(lines[1:], table, strict=True):
        if len(cells) <= max(path, label, *times):
            raise ValueError(f"The {line}, has only {len(cells)} of {len(headings)} columns.")
        places = [cells[path]]
        if len(times) == len(TIMES):
            places = kinetics_places(cells[label], cells[path], *(cells[at] for at in times))
        rows.append(row_of(cells[label], places, line))
    return rows


def rows_of_pairs(lines: Sequence[Line], delimiter: str) -> list[Row]:
    """Rows of a table without known headings: a path or id, and a class.

    Raises:
        ValueError: a row with more or fewer cells than two, or an empty cell.
    """
    table = [without_empty_end(split(line, delimiter)) for line in lines]
    for line, cells in zip(lines, table, strict=True):
        if len(cells) != 2:
            raise ValueError(f"The {line}, has no path (or id) and label, but {len(cells)} columns. {FIX}")
    if all(has_suffix(label) and not has_suffix(path) for path, label in table[1:] or table):
        table = [cells[::-1] for cells in table]  # the label comes first
    first = 1 if starts_with_headings(table) else 0
    return [row_of(label, [path], line) for line, (path, label) in zip(lines[first:], table[first:], strict=True)]


def delimiter_of_most(lines: Sequence[Line]) -> str | None:
    """The delimiter that the most lines contain; None unless these are more than half of all.

    Where several are equally frequent, the one that gives known headings is taken, else one that gives numeric labels.
    """
    counts = {sign: sum(sign in line.text for line in lines) for sign in DELIMITERS}
    if not lines or 2 * max(counts.values()) <= len(lines):
        return None
    signs = [sign for sign, count in counts.items() if count == max(counts.values())]
    if len(signs) == 1:
        return signs[0]
    tables = {sign: [split(line, sign) for line in lines] for sign in signs}
    headed = [sign for sign in signs if is_known(tables[sign][0])]
    labelled = [sign for sign in signs if all(NUMBER.fullmatch(row[-1]) for row in tables[sign][1:] or tables[sign])]
    return [*headed, *labelled, *signs][0]


def is_known(cells: Sequence[str]) -> bool:
    """Whether cells are headings of paths and labels."""
    headings = [plain(cell) for cell in cells]
    return bool(positions(headings, PATHS) and positions(headings, LABELS))


def columns_by_heading(headings: Sequence[str], written: Sequence[str]) -> tuple[int, int] | None:
    """Positions of paths and labels; None if there are no headings.

    Args:
        headings: cells of the first row as `plain` makes them.
        written: the same cells as written.

    Raises:
        ValueError: of more than two columns, that of paths or labels is not known.
    """
    paths, labels = positions(headings, PATHS), positions(headings, LABELS)
    if paths and labels:
        return paths[0], labels[0]
    if any(map(is_data, written)) or not any(heading in CERTAIN for heading in headings):
        return None
    if len(headings) != 2:
        what = "labels" if paths else "paths"
        raise ValueError(f"No column of {', '.join(map(repr, written))} is known for {what}. {FIX}")
    tell_headings(" and ".join(map(repr, written)))
    return (paths[0], 1 - paths[0]) if paths else (1 - labels[0], labels[0])


def starts_with_headings(table: Sequence[Sequence[str]]) -> bool:
    """Whether the first row is unknown headings, because all other rows look different; if so, it is logged.

    Args:
        table: rows with a path and a label.
    """
    if len(table) < 2 or any(len(row) != 2 for row in table) or any(map(is_data, table[0])):
        return False
    paths, labels = zip(*table[1:], strict=True)
    found = all(map(NUMBER.fullmatch, labels)) or all(map(NUMBER.fullmatch, paths)) or all(map(has_suffix, paths))
    if found:
        tell_headings(" and ".join(map(repr, table[0])))
    return found


def is_data(cell: str) -> bool:
    """Whether a cell is a number or a path, and thus no heading."""
    return NUMBER.fullmatch(cell) is not None or has_suffix(cell) or "/" in cell or "\\" in cell


@cache
def tell_headings(found: str) -> None:
    """Log, once in a process, that a line is taken for headings."""
    logger.warning("The first line of a list of videos, %s, is taken for the headings of its columns", found)


def tell_parts(words: Sequence[str]) -> None:
    """Log the columns or keys that specify parts of videos, as videos are used whole.

    Args:
        words: headings or keys; may be empty.
    """
    if words:
        tell_unused(", ".join(map(repr, words)))


@cache
def tell_unused(words: str) -> None:
    """Log, once in a process, the columns of a list of videos that are not used."""
    logger.warning("%s of a list of videos are not used: each video is taken whole. Cut the parts out first.", words)


def has_suffix(path: str) -> bool:
    """Whether a path has the suffix of a video."""
    return path.lower().endswith(SUFFIXES)


def without_empty_end(cells: list[str]) -> list[str]:
    """Cells up to the last one that is not empty, at least the first two."""
    while len(cells) > 2 and not cells[-1]:
        cells = cells[:-1]
    return cells
