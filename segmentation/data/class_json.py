"""Names and pixel values of classes in JSON: a list of names, a mapping of names and values, or entries."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from segmentation.data.class_headings import WHOLE, Headings
from segmentation.data.class_numbers import to_value
from segmentation.data.class_table import FORMATS, Row
from swinv2.files.structured_text import class_part, load_tree


def read_json(text: str, suffix: str = ".json") -> list[Row]:
    """Read the classes in JSON, YAML or a list or dict of Python.

    Raises:
        ValueError: the text is none of these, or has no classes.
    """
    try:
        content = class_part(load_tree(text, suffix))
    except ValueError as error:
        raise ValueError(f"{error} {FORMATS}") from error
    return rows_of(content)


def rows_of(content: object) -> list[Row]:
    """Rows of the classes in parsed JSON.

    Raises:
        ValueError: there are none.
    """
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        return [Row(f"entry {at}, {name!r:.60}", name.strip()) for at, name in enumerate(content, 1)]
    if isinstance(content, list) and all(isinstance(entry, dict) for entry in content):
        return read_entries(content)
    if isinstance(content, dict):
        return read_pairs(content)
    raise ValueError(f"The JSON has no list of names, and no names with values. {FORMATS}")


def read_pairs(content: Mapping[str, Any]) -> list[Row]:
    """Rows of the classes in a mapping from names to values, or from values to names."""
    by_value = all(WHOLE.fullmatch(key) for key in content)
    if by_value and not all(isinstance(name, str) and not WHOLE.fullmatch(name) for name in content.values()):
        raise ValueError(f"The JSON has keys that are numbers, but what they have is not always a name. {FORMATS}")
    pairs = [(name, key) if by_value else (key, name) for key, name in content.items()]
    return [row_of(name, value, at) for at, (name, value) in enumerate(pairs, 1)]


def read_entries(entries: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Rows of the classes in entries, whose keys are treated like headings of a table."""
    words = list(dict.fromkeys(key for entry in entries for key in entry))
    headings = Headings.find(words, certain=True) if len(words) > 1 else None
    if headings is None:
        raise ValueError(f"The entries of the JSON have no key 'name' beside that of the value, but {words}. {FORMATS}")
    rows = [[as_text(entry.get(word)) for word in words] for entry in entries]
    columns = headings.choose(rows)
    if columns.value is None:
        return [row_of(entry.get(words[columns.name]), None, at) for at, entry in enumerate(entries, 1)]
    pairs = [(entry.get(words[columns.name]), entry.get(words[columns.value], "")) for entry in entries]
    return [row_of(name, as_text(value), at) for at, (name, value) in enumerate(pairs, 1)]


def row_of(name: object, value: object, number: int) -> Row:
    """Row of the class of an entry.

    Args:
        name: its name in the file.
        value: its value in the file; None if the file has no values.
        number: number of the entry, from 1.

    Raises:
        ValueError: the name is no text, or the value no whole number.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"Entry {number}: its name is {name!r:.60}, not a text. {FORMATS}")
    place = f"entry {number}, {name!r:.60}"
    return Row(place, name.strip(), None if value is None else to_value(as_text(value), place))


def as_text(value: object) -> str:
    """Text of a JSON value."""
    return json.dumps(value) if isinstance(value, bool | list | dict) else str(value).strip()
