"""Names of classes: files of them, and what lists and folders call them."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

NUMBERED = re.compile(r"(\d+)(?:\s*[:,;\t]\s*|\s+)(\S.*)")
SYNSET = re.compile(r"(n\d{8})[\s:,]+(\S[^,]*)(?:,.*)?")  # ImageNet: "n01440764 tench, Tinca tinca"
FORMATS = (
    'A file of class names has one a line, in the order of the labels, e.g. "tench" or "n01440764 tench, Tinca tinca"; '
    'or is JSON: a list of names, {"name": 0, …}, {"0": "name", …} or {"0": ["n01440764", "tench"], …}.'
)
SHOWN = 3  # names in a message


def read_class_names(path: Path) -> list[str]:
    """The names in a file, by label; of ImageNet's the number and the first word for it: "n01440764 tench".

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
        names = [shorten(name) for name in names]
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
        return in_order(pairs_in_object(content), first=0)
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        return content
    raise ValueError("The JSON is no list of names and no object of names with labels.")


def pairs_in_object(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and labels, whichever of the two are the keys; a name may be a list of its parts."""
    if all(str(value).isdecimal() for value in content.values()):
        return [(name, str(label)) for name, label in content.items()]
    return [(" ".join(value) if isinstance(value, list) else str(value), key) for key, value in content.items()]


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


def shorten(name: str) -> str:
    """Of a class of ImageNet its number and the first word for it, as two classes may have the same word."""
    match = SYNSET.fullmatch(name)
    return f"{match[1]} {match[2].strip().replace('_', ' ')}" if match else name


def key_of(name: str) -> str:
    """What the folder of a class is called: the number of a class of ImageNet, or else its name."""
    match = SYNSET.fullmatch(name)
    return match[1] if match else name


def name_classes(labels: Sequence[str]) -> list[str]:
    """Names of the classes that a list has: sorted if it names them, otherwise made of their numbers."""
    if all(label.isdecimal() for label in labels):
        return [f"class {number}" for number in range(max(map(int, labels)) + 1)]
    return sorted({*labels})


def labels_of(classes: Iterable[str], class_names: Sequence[str], source: Path) -> dict[str, int]:
    """The numbers of some classes.

    Args:
        classes: the name of each, or ImageNet's number of it, or its label where no class has that as its name.
        class_names: by label.
        source: where the classes are from, for the message.

    Raises:
        ValueError: there is no such class.
    """
    known = {name: label for label, name in enumerate(class_names)}
    known = {key_of(name): label for name, label in known.items()} | known
    labels, unknown = {}, []
    for name in dict.fromkeys(classes):
        label = known.get(name, int(name) if name.isdecimal() else len(class_names))
        labels[name] = label
        unknown += [name] if label >= len(class_names) else []
    if unknown:
        more = f" (the first of {len(unknown)} such)" if len(unknown) > 1 else ""
        raise ValueError(
            f"{source} has the class {unknown[0]!r}{more}, but the {len(class_names)} classes are "
            f"{', '.join(class_names[:SHOWN])}, … with labels from 0 to {len(class_names) - 1}. Give all classes in a "
            "file (data.classes)."
        )
    return labels
