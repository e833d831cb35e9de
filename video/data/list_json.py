"""Lists of videos in JSON: Something-Something, Kinetics, and other objects with an id and a label."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from swinv2.files.structured_text import load_tree
from swinv2.files.text_lines import lines_of
from swinv2.files.text_tables import SPLITS, check_one_split, plain, positions
from video.data.list_rows import Row, kinetics_places, row_of
from video.data.list_tables import LABELS, PART, PATHS, tell_parts

HALF = re.compile("[\ud800-\udfff]")  # lone surrogates, halves of a character
TEMPLATE_FIRST = ("template", *LABELS)  # Something-Something's label describes one video, its template is the class
WRAPPED = (
    "database",
    "videos",
    "annotations",
    "data",
    "clips",
    "samples",
    "items",
)  # keys that all entries may be under


def rows_of_json(text: str) -> list[Row]:
    """Rows of JSON as of Something-Something V2, where the class is the template without its brackets.

    Raises:
        ValueError: no objects with ids, or one without class, as in the list of the test videos.
    """
    content = load_tree(text)
    if isinstance(content, dict):
        content = next((content[key] for key in WRAPPED if isinstance(content.get(key), list | dict)), content)
    if isinstance(content, dict) and is_class_table(content):
        raise ValueError(
            "The JSON has a number for each name: it is a file of class names, so give it as data.classes."
        )
    check_keys([*content.values()] if isinstance(content, dict) else content)
    if isinstance(content, dict):
        return [row_of_entry(entry, key, f"entry {key!r:.60}") for key, entry in content.items()]
    if isinstance(content, list):
        return [row_of_entry(entry, None, f"entry {place}") for place, entry in enumerate(content)]
    raise ValueError("The JSON is no list of objects with an id.")


def rows_of_json_lines(text: str) -> list[Row]:
    """Rows of JSON Lines: objects as in `rows_of_json`, one per line.

    Raises:
        ValueError: as in `rows_of_json`.
    """
    entries = {str(line): load_tree(line.text) for line in lines_of(text)}
    check_keys([*entries.values()])
    return [row_of_entry(entry, None, where) for where, entry in entries.items()]


def check_keys(entries: object) -> None:
    """Raise unless entries are of one split, and log the keys that specify parts of videos.

    Raises:
        ValueError: the entries are of several splits.
    """
    found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    for key in dict.fromkeys(key for entry in found for key in entry):
        check_one_split(key, {str(entry[key]) for entry in found if key in entry} if plain(key) in SPLITS else ())
    tell_parts([*dict.fromkeys(key for entry in found for key in entry if PART.fullmatch(plain(key)))])


def is_class_table(content: Mapping[str, Any]) -> bool:
    """Whether an object maps names to the numbers 0, 1, 2, …, each once."""
    numbers = [str(value) for value in content.values()]
    return len(numbers) > 1 and sorted(numbers) == sorted(map(str, range(len(numbers))))


def row_of_entry(entry: object, key: str | None, where: str) -> Row:
    """Row of an entry.

    Args:
        entry: an object; a pair of path and label; or the label, if there is a key.
        key: the id, if it is the entry's key.
        where: place of the entry, for messages.

    Raises:
        ValueError: the entry has no id or no label.
    """
    if isinstance(entry, list) and len(entry) == 2 and key is None:
        entry = dict(zip(("path", "label"), entry, strict=True))
    elif not isinstance(entry, dict) and key is not None:
        entry = {"label": entry}
    if not isinstance(entry, dict):
        raise ValueError(f"The {where}, {entry!r:.60}, is no object with an id and a label.")
    video = text_of(first_of(entry, PATHS, key), "id", where)
    where = f"{where}, id {video!r:.60}"
    clips = entry.get("annotations", [])  # in Kinetics and ActivityNet
    clips = [clip for clip in (clips if isinstance(clips, list) else [clips]) if isinstance(clip, dict)]
    found = [text_of(first_of(one, TEMPLATE_FIRST), "label", where) for one in (entry, *clips)]
    labels = [*dict.fromkeys(label for label in found if label)]
    if len(labels) > 1:
        raise ValueError(f"The {where}, has several labels, {labels[0]!r} and {labels[1]!r}; videos have one class.")
    label = labels[0].replace("[", "").replace("]", "") if labels else ""
    times = clips[0].get("segment") if clips else None
    exact = isinstance(times, list) and len(times) == 2
    return row_of(label, kinetics_places(label, video, *times) if exact and times and video else [video], where)


def first_of(entry: Mapping[str, Any], words: Sequence[str], otherwise: object = None) -> object:
    """Value of the most likely of some keys that is not null or empty."""
    keys = [*entry]
    values = (entry[keys[at]] for at in positions(keys, words))
    return next((value for value in values if value not in (None, "")), otherwise)


def text_of(value: object, what: str, where: str) -> str:
    """Text of a value: a text, a whole number, or a list with one of these.

    Args:
        value: the value; null becomes an empty text.
        what: kind of value, for the message.
        where: place of the value, for the message.

    Raises:
        ValueError: the value is anything else.
    """
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if value is None or (isinstance(value, str) and not HALF.search(value)):
        return (value or "").strip()
    if isinstance(value, str):
        raise ValueError(f"The {where}, has the {what} {value!a:.60} with characters that are none.")
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value == int(value):
        return str(int(value))
    raise ValueError(f"The {where}, has the {what} {value!r:.60}, which is no text and no whole number.")
