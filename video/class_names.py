"""Names of the classes of videos."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

NUMBERED = re.compile(r"(\d+)(?:\s*[:,;\t]\s*|\s+)(\S.*)")
FORMATS = (
    'A file of class names has one a line, in the order of the labels; or is JSON like {"name": 0, …} '
    "(Something-Something's labels.json) or a JSON list of names."
)


def read_class_names(path: Path) -> list[str]:
    """The names in a file, by label.

    Args:
        path: JSON of names with their labels, or in their order; or text of one name a line, all with their label in
            front ("0 walk", from 0 or 1 without gaps) or none. Empty lines and those that begin with # do not count.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such file, or has a name twice or none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of class names {path}; check data.root and data.classes. {FORMATS}")
    try:
        text = path.read_text(encoding="utf-8-sig")
        names = names_in_json(json.loads(text)) if path.suffix.lower() == ".json" else names_in_text(text)
        check_names(names)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8. {FORMATS}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error} {FORMATS}") from error
    return names


def names_in_json(content: object) -> list[str]:
    """Names by label in a JSON list or object.

    Raises:
        ValueError: it is neither, or the labels of the object have gaps.
    """
    if isinstance(content, dict):
        return in_order([(name, str(label)) for name, label in content.items()], first=0)
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        return content
    raise ValueError("The JSON is no list of names and no object of names with labels.")


def names_in_text(text: str) -> list[str]:
    """Names by label in lines.

    Raises:
        ValueError: all lines begin with numbers that are not the labels.
    """
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    numbered = [match for match in map(NUMBERED.fullmatch, lines) if match]
    if not lines or len(numbered) < len(lines):
        return lines
    return in_order([(match[2], match[1]) for match in numbered], first=min(int(match[1]) for match in numbered))


def in_order(pairs: Sequence[tuple[str, str]], first: int) -> list[str]:
    """Names sorted by their labels.

    Args:
        pairs: names and labels.
        first: the lowest label, 0 or 1.

    Raises:
        ValueError: a label that is missing, twice there, or no number.
    """
    labels = [int(label) if label.isdecimal() else -1 for _, label in pairs]
    if first > 1 or sorted(labels) != list(range(first, first + len(labels))):
        raise ValueError("The labels are not 0, 1, 2, … without gaps.")
    return [name for _, (name, _) in sorted(zip(labels, pairs, strict=True))]


def check_names(names: Sequence[str]) -> None:
    """See that there are names, each once.

    Raises:
        ValueError: there are none, or one is twice there.
    """
    if not names:
        raise ValueError("There are no class names.")
    if len({*names}) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"The class {twice!r} is there twice; each class needs its own name.")
