"""Parsing of text with lists and objects: JSON, YAML, and literals that Python programs print."""

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

import yaml  # type: ignore[import-untyped]  # its types are a package of their own

PYTHON = re.compile(r"""\s*(?:\w+\s*=\s*)?(?=[\[{(]\s*(?:["']|\d+\s*:|\[|\{|\())""")  # "names = ['cat', 'dog']"
MOST_PYTHON = 1 << 22  # letters that are parsed as Python, which takes far more memory
YAML = (".yaml", ".yml")
CLASSES = ("categories", "classes", "class_names", "labels", "names", "id2label", "label2id", "class_to_idx")


def is_tree(text: str, suffix: str) -> bool:
    """Whether a text is a list or an object, not lines of names, one of which may be in brackets.

    Args:
        text: content of a file.
        suffix: of the file, in lower case.
    """
    start = text.lstrip()
    is_json = start[:1] in ("{", "[") and start[1:].lstrip()[:1] in ("", '"', "{", "[", "]", "}")
    return suffix in (".json", *YAML) or is_json or PYTHON.match(text) is not None


def load_tree(text: str, suffix: str = ".json") -> Any:
    """Parsed text; all keys are strings, and so are all values of YAML.

    Args:
        text: content of a file.
        suffix: of the file, in lower case.

    Raises:
        ValueError: it has none of these formats, is nested too deep, or has a key twice.
    """
    if suffix in YAML:
        return load_yaml(text)
    try:
        return json.loads(text, object_pairs_hook=unique)
    except RecursionError as error:
        raise ValueError("It is no JSON that can be read: it is nested too deep.") from error
    except json.JSONDecodeError as error:
        start = PYTHON.match(text)
        if start is None or len(text) > MOST_PYTHON:
            raise ValueError(f"It is no JSON: {error}.") from error
        return load_python(text[start.end() :], error)


def load_python(text: str, reason: Exception) -> Any:
    """List or dict by a literal of Python.

    Args:
        text: from the bracket on.
        reason: error of parsing it as JSON.

    Raises:
        ValueError: it is no such literal.
    """
    try:
        return as_json(ast.literal_eval(text.rstrip()))
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError) as error:
        raise ValueError(f"It is no JSON: {reason}.") from error


def as_json(value: object) -> object:
    """Value of Python in JSON's types: lists for tuples, strings for keys."""
    if isinstance(value, dict):
        return unique([(str(key), as_json(one)) for key, one in value.items()])
    return [as_json(one) for one in value] if isinstance(value, list | tuple) else value


def load_yaml(text: str) -> Any:
    """Parsed YAML; numbers and words like "no" stay strings.

    Raises:
        ValueError: it is no YAML, or has aliases, which could expand beyond the memory.
    """
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise ValueError("The YAML has aliases (*name); write out what they stand for.")
        return as_json(yaml.load(text, yaml.BaseLoader))  # strings, lists and dicts only
    except (yaml.YAMLError, RecursionError, TypeError) as error:
        raise ValueError(f"It is no YAML: {' '.join(str(error).split())}.") from error


def class_part(content: object) -> object:
    """Part of an object under a usual key for classes; the whole content if there is none.

    Raises:
        ValueError: it has several such keys.
    """
    found = [key for key in CLASSES if isinstance(content, dict) and isinstance(content.get(key), list | dict)]
    found = [key for key in found if key != "label2id" or "id2label" not in found]  # the two say the same
    if len(found) > 1:
        raise ValueError(f"There are several lists of classes, {' and '.join(map(repr, found))}; keep one.")
    return content[found[0]] if found and isinstance(content, dict) else content


def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Object of JSON with unique keys.

    Raises:
        ValueError: it has a key twice.
    """
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(key for at, (key, _) in enumerate(pairs) if key in {one for one, _ in pairs[:at]})
        raise ValueError(f"It has the key {twice!r:.60} twice.")
    return content
