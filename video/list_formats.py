"""The formats of lists of videos: Kinetics, Something-Something, and plain text."""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

PATH_AND_LABEL = re.compile(r"(\S.*?)(?:\s*[,;\t]\s*|\s+)(\d+)")
HEADINGS = ("path", "video", "video_path", "file", "filename", "name", "id")  # of the first column, where it has one

FORMATS = (
    "A list of videos is text with 'path label' or 'path,label' a line; the CSV of Kinetics (label, youtube_id, "
    "time_start, time_end, split); or Something-Something's JSON (id and template) or CSV ('id;label')."
)


class Row(NamedTuple):
    """One video of a list.

    Attributes:
        label: number or name of its class.
        places: where its file may be below the folder of videos, likeliest first; suffixes may be missing.
    """

    label: str
    places: tuple[str, ...]


def read_rows(path: Path) -> list[Row]:
    """The videos in a list.

    Args:
        path: of a format that `FORMATS` describes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such list, is empty, or has no labels.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no list of videos {path}; check data.root and the name. {FORMATS}")
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = PARSERS.get(path.suffix.lower(), rows_of_text)(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8. {FORMATS}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error} {FORMATS}") from error
    if not rows:
        raise ValueError(f"The list {path} is empty. {FORMATS}")
    return rows


def rows_of_text(text: str) -> list[Row]:
    """Lines of a path, which may have blanks in it, and a number; of frame folders also their length in between.

    Raises:
        ValueError: a line without label.
    """
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = PATH_AND_LABEL.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"Line {number}, {line.strip()!r}, has no path and label.")
        folder_and_length = PATH_AND_LABEL.fullmatch(match[1])
        rows.append(Row(match[2], (match[1], *([folder_and_length[1]] if folder_and_length else []))))
    return rows


def rows_of_csv(text: str) -> list[Row]:
    """Rows of Kinetics, or of a path or id and a class, by its number or name.

    Where neither comma nor semicolon is in the first line it is text that is called CSV, as SlowFast and VideoMAE do.

    Raises:
        ValueError: a row without label.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    headings = [heading.strip().lower() for heading in next(csv.reader(lines), [])]
    if "youtube_id" in headings:
        return rows_of_kinetics(headings, lines[1:])
    delimiter = next((sign for sign in ";," if lines and sign in lines[0]), None)
    if delimiter is None:
        return rows_of_text(text)
    table = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    if table and table[0][0].lower() in HEADINGS:
        table = table[1:]
    for number, row in enumerate(table, start=1):
        if len(row) != 2 or not all(row):
            raise ValueError(f"Row {number}, {delimiter.join(row)!r}, has no path (or id) and label.")
    return [Row(label, (place,)) for place, label in table]


def rows_of_kinetics(headings: Sequence[str], lines: Sequence[str]) -> list[Row]:
    """Rows of the official CSV of Kinetics-400, -600 and -700.

    Files are looked for as `youtube_id_000010_000020`, `youtube_id` and `youtube_id_10_20`, in folders named after
    their classes, with blanks or underscores, and in none.

    Args:
        headings: of the columns, in small letters.
        lines: those below the headings.

    Raises:
        ValueError: no labels, as in the lists of the test videos.
    """
    rows = []
    for row in csv.DictReader(lines, headings, skipinitialspace=True):
        label, video = ((row.get(heading) or "").strip() for heading in ("label", "youtube_id"))
        if not label:
            raise ValueError(f"The video {video!r} has no label; videos are scored only where their class is known.")
        names = [video]
        if row.get("time_start") and row.get("time_end"):
            start, end = (round(float(row[heading])) for heading in ("time_start", "time_end"))
            names = [f"{video}_{start:06}_{end:06}", video, f"{video}_{start}_{end}"]
        folders = dict.fromkeys((f"{label}/", f"{label.replace(' ', '_')}/", ""))
        rows.append(Row(label, tuple(folder + name for folder in folders for name in names)))
    return rows


def rows_of_json(text: str) -> list[Row]:
    """Entries of Something-Something V2: the class is the template without its brackets.

    Raises:
        ValueError: no list of objects with ids, or one without class, as in the list of the test videos.
    """
    content = json.loads(text)
    if not isinstance(content, list) or not all(isinstance(entry, dict) and "id" in entry for entry in content):
        raise ValueError("The JSON is no list of objects with an id.")
    rows = []
    for entry in content:
        label = str(entry.get("template") or entry.get("label") or "").replace("[", "").replace("]", "")
        if not label:
            raise ValueError(f"The video {entry['id']!r} has no template and no label.")
        rows.append(Row(label, (str(entry["id"]),)))
    return rows


PARSERS = {".csv": rows_of_csv, ".json": rows_of_json}
