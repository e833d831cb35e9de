"""Files of class names: text with one name per line, tables with headings, JSON and YAML."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..files.structured_text import class_part, is_tree, load_tree
from ..files.text_lines import Line, lines_of, read_text
from ..files.text_tables import DELIMITERS, delimiter_of, plain, plain_list, positions, split, unquoted

NUMBERED = re.compile(r"(\d{1,9})(?:\s*[:,;\t|]\s*|\s+)(\S.*)")
NUMBER = re.compile(r"\d{1,9}")
REVERSED = re.compile(rf"(\S.*?)\s*[{DELIMITERS}]\s*(\d{{1,9}})")
SYNSET = re.compile(r"(n\d{8})[\s:,]+(\S[^,]*)(?:,.*)?")  # ImageNet: "n01440764 tench, Tinca tinca"
NAMES = (  # headings as `plain` makes them, the likeliest first
    *("name", "names", "classname", "classnames", "labelname", "labelnames", "categoryname", "displayname", "title"),
    *("class", "classes", "label", "labels", "category", "categories", "action", "actions", "activity", "template"),
)
NUMBERS = (
    *("label", "labelid", "labelidx", "labelindex", "classid", "classidx", "classindex", "categoryid", "actionid"),
    *("id", "ids", "idx", "index", "number", "no", "nr", "value", "code", "key", "class", "category"),
)
FEW = 3  # numbered lines that are no coincidence
FORMATS = (
    'A file of class names has one a line, in the order of the labels, e.g. "tench" or "n01440764 tench, Tinca tinca"; '
    'or all with their labels, e.g. "0 tench"; or is JSON or YAML: a list of names, {"name": 0, …}, {"0": "name", …} '
    'or {"0": ["n01440764", "tench"], …}.'
)


class ClassFile(NamedTuple):
    """Content of a file of class names.

    Attributes:
        names: in the order of the labels.
        first: label of the first name in the file, 0 or 1; None if names have no labels.
    """

    names: list[str]
    first: int | None = None


def read_class_file(path: Path) -> ClassFile:
    """Names in a file; those of ImageNet are cut to WordNet ID and first synonym: "n01440764 tench".

    Args:
        path: JSON or YAML of names with their labels, or in their order; or text with one name per line, either all
            with a label in front ("0 walk", from 0 or 1 without gaps) or none; or a table with headings. Empty lines
            and comments (`#` alone or before a blank) are ignored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such file, has no names, or has a name twice.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of class names {path}; check data.root and data.classes. {FORMATS}")
    text, suffix = read_text(path, FORMATS), path.suffix.lower()
    try:
        found = names_in_tree(load_tree(text, suffix)) if is_tree(text, suffix) else names_in_text(text)
        names = [shorten(name) for name in found.names]
        check_names(names)
    except ValueError as error:
        raise ValueError(f"{path}: {error} {FORMATS}") from error
    return ClassFile(names, found.first)


def names_in_text(text: str) -> ClassFile:
    """Names in lines of text.

    Raises:
        ValueError: the numbers of the lines are no labels without gaps, or some lines lack theirs.
    """
    lines = lines_of(text)
    if not lines:
        return ClassFile([])
    table = names_in_table(lines)
    if table is not None:
        return table
    if len(lines) > 1 and plain(lines[0].text) in NAMES:
        lines = lines[1:]  # the heading of a single column
    lines = plain_list(lines)
    found = [numbered_name(line) for line in lines]
    if all(found[1:]) and not found[0] and is_heading(lines[0], [pair for pair in found if pair]):
        found = found[1:]
    if all(found):
        return in_order([pair for pair in found if pair])
    labels = [int(pair[1]) - at for at, pair in enumerate(found) if pair]
    if len(labels) >= max(FEW, 2 * len(lines) / 3) and {*labels} in ({0}, {1}):
        without = next(line for line, pair in zip(lines, found, strict=True) if not pair)
        raise ValueError(f"Names have their labels, but not that of {without}.")
    return ClassFile([unquoted(line.text) for line in lines])


def names_in_table(lines: Sequence[Line]) -> ClassFile | None:
    """Names in a table with headings in its first line; None if the lines are no such table.

    Raises:
        ValueError: two columns may be the labels.
    """
    delimiter = delimiter_of(lines)
    if delimiter is None or len(lines) < 2:
        return None
    headings, *rows = (split(line, delimiter) for line in lines)
    return names_in_columns(headings, rows)


def names_in_columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> ClassFile | None:
    """Names in the rows of a table; None if no heading stands for names.

    Raises:
        ValueError: two columns may be the labels.
    """
    columns = [*zip(*rows, strict=True)]
    numeric = [at for at, cells in enumerate(columns) if all(re.fullmatch(r"\d{1,9}", cell) for cell in cells)]
    named = [at for at in positions(headings, NAMES) if at not in numeric]
    if not named or any(heading.isdecimal() for heading in headings):
        return None
    counting = [at for at in numeric if count_on([int(cell) for cell in columns[at]])]
    labels = counting or [at for at in positions(headings, NUMBERS) if at in numeric]
    if len({columns[at] for at in labels}) > 1:
        several = ", ".join(repr(headings[at]) for at in labels)
        raise ValueError(f"The columns {several} may all be the labels; keep one.")
    names = columns[named[0]]
    return in_order([*zip(names, columns[labels[0]], strict=True)]) if labels else ClassFile([*names])


def numbered_name(line: Line) -> tuple[str, str] | None:
    """Name and number in a line, in either order; None if it has no number."""
    if match := NUMBERED.fullmatch(line.text):
        return unquoted(match[2]), match[1]
    if match := REVERSED.fullmatch(line.text):
        return unquoted(match[1]), match[2]
    for delimiter in DELIMITERS if '"' in line.text else "":
        cells = split(line, delimiter)
        numbers = [at for at, cell in enumerate(cells) if NUMBER.fullmatch(cell)]
        if len(cells) == 2 and len(numbers) == 1:
            return cells[1 - numbers[0]], cells[numbers[0]]
    return None


def is_heading(line: Line, pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether a line is the heading of the numbered names below it, by its words or because there are many of them."""
    words = [plain(word) for word in re.split(rf"[\s{DELIMITERS}]+", line.text)]
    return count_on([int(label) for _, label in pairs]) and (
        len(pairs) >= FEW or all(word in (*NAMES, *NUMBERS) for word in words)
    )


def count_on(labels: Sequence[int]) -> bool:
    """Whether labels are 0, 1, 2, … or 1, 2, 3, … in any order."""
    first = min(labels, default=-1)
    return first in (0, 1) and sorted(labels) == [*range(first, first + len(labels))]


def names_in_tree(content: object) -> ClassFile:
    """Names in a list or object of JSON or YAML, or in a part of it.

    Raises:
        ValueError: it has no list or object of names, or the labels of the object have gaps.
    """
    content = class_part(content)
    if isinstance(content, dict):
        return in_order(pairs_in_object(content))
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        return ClassFile(content)
    if isinstance(content, list) and all(isinstance(entry, dict) for entry in content):
        headings = [*dict.fromkeys(key for entry in content for key in entry)]
        found = names_in_columns(headings, [[str(entry.get(key, "")) for key in headings] for entry in content])
        if found is not None:
            return found
    raise ValueError("The JSON is no list of names and no object of names with labels.")


def pairs_in_object(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and labels of an object, whichever of the two are its keys; a name may be a list of its parts.

    Raises:
        ValueError: a value is neither a name nor a label.
    """
    if all(isinstance(value, int | str) and str(value).isdecimal() for value in content.values()):
        return [(name, str(label)) for name, label in content.items()]
    pairs = []
    for key, value in content.items():
        parts = value if isinstance(value, list) else [value]
        if not parts or not all(isinstance(part, str) for part in parts):
            raise ValueError(f"The JSON has {value!r:.60} for {key!r:.60}, which is no name and no label.")
        pairs.append((" ".join(parts), key))
    return pairs


def in_order(pairs: Sequence[tuple[str, str]]) -> ClassFile:
    """Names sorted by their labels.

    Args:
        pairs: names and labels.

    Raises:
        ValueError: a label is missing, there twice, or no number.
    """
    labels = [int(label) if re.fullmatch(r"\d{1,9}", label) else -1 for _, label in pairs]
    if labels and not count_on(labels):
        raise ValueError("The labels are not 0, 1, 2, … or 1, 2, 3, … without gaps.")
    return ClassFile([name for _, (name, _) in sorted(zip(labels, pairs, strict=True))], min(labels, default=None))


def check_names(names: Sequence[str]) -> None:
    """Raise unless there are names, all different and not empty.

    Raises:
        ValueError: there are none, one is empty or no valid text, or one is there twice.
    """
    if not names:
        raise ValueError("There are no class names.")
    for name in names:
        if not name.strip() or any("\ud800" <= letter <= "\udfff" for letter in name):
            raise ValueError(f"The class name {name!a:.80} is empty, or has characters that are none.")
    if len({*names}) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise ValueError(f"The class {twice!r} is there twice; each class needs its own name.")


def shorten(name: str) -> str:
    """Name of a class; for ImageNet, WordNet ID and first synonym, since two classes may share a word."""
    match = SYNSET.fullmatch(name)
    return f"{match[1]} {match[2].strip().replace('_', ' ')}" if match else name
