"""What is wrong with a recipe or an option, in the few lines that matter."""

import difflib
import inspect
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from jsonargparse import Namespace

KEY = re.compile(
    r"unrecognized arguments: -*([\w.]+)|ambiguous option: -*([\w.]+)"
    r"|accept option '([\w.]+)'|Option '([\w.]+)' is not accepted"
)
MISSING = re.compile(r"arguments are required: (.+)")
FILE = re.compile(r"File does not exist: '(.+)'")
VALUE = re.compile(r'key "([\w.]+)":\s*Expected an? (.+)\. Got value: (.+)')
CLASS = re.compile(r"class_path '([\w.]+)'|import path string: ([\w.]+)|Import path ([\w.]+) does not")
NESTED = re.compile(  # an option of a class that stands for an option
    r'key "([\w.]+)":[^"]*Problem with given class_path [^\n]+\n\s+Parser key "([\w.]+)":(.*)', re.DOTALL
)
EXPECTED = re.compile(r"- (Expected an? [^\n]+\. Got value: [^\n]+)")
CAUSE = re.compile(r"Union subtypes\n.*?Errors:\n\s+- (?!Expected|Problem)([^\n]+)", re.DOTALL)  # what a class raised
UNION = re.compile(r'key "([\w.]+)":.*Subtypes: \[(.*?)\]\n.*Given value: (.+)', re.DOTALL)


def explain(message: str, args: Sequence[str], options: Sequence[str], classes: Sequence[type]) -> str:
    """One to four lines for a newcomer from what the parser says, with the nearest key, class or file.

    Args:
        message: of the parser.
        args: the command line that it is about.
        options: names of all options, e.g. "trainer.devices".
        classes: classes that a recipe can name, see `constructible`.
    """
    if match := CAUSE.search(message):
        return _given(match)
    if match := KEY.search(message):
        return _unknown_key(_given(match), args, options, classes)
    if match := MISSING.search(message):
        names = re.sub(r"\b(fit|validate|predict)\.", "", _given(match)).split(", ")
        on_command_line = f" or on the command line (--{names[0]} …)" if names[0] in options else ""
        return f"missing: {', '.join(names)}\n  set it in a recipe (--config FILE){on_command_line}"
    if match := FILE.search(message):
        path = Path(os.path.relpath(_given(match)))
        return f"no such file: {path}{_nearest(path.name, {p.name: str(p) for p in path.parent.glob('*.yaml')})}"
    if match := VALUE.search(message):
        key, allowed, value = match.groups()
        return f"{key}: expected {_plain(allowed)}, got '{value}'{_place(key, args)}"
    if match := NESTED.search(message):
        outer, inner, rest = match.groups()
        expected = EXPECTED.search(rest)
        return explain(f'Parser key "{outer}.{inner}": {expected[1] if expected else rest}', args, options, classes)
    if match := CLASS.search(message):
        name = _given(match)
        paths = {cls.__name__: f"{cls.__module__}.{cls.__qualname__}" for cls in classes}
        others = {short: full for short, full in paths.items() if full != name}
        return f"class_path '{name}' does not fit here{_place(name, args)}{_nearest(name.split('.')[-1], others)}"
    if match := UNION.search(message):
        key, allowed, value = match.groups()
        return f"{key}: expected one of {_plain(allowed)}, got '{value}'{_place(key, args)}"
    source = " ".join(map(str, _recipes(args)))
    return "\n".join(_plain(message).replace('"<unicode string>"', source).splitlines()[:4])


def empty_keys(config: Namespace, parts: Mapping[str, type], args: Sequence[str]) -> str | None:
    """A message about keys that are left empty (null) although they need a value; the parser lets them through.

    Args:
        config: of one command.
        parts: classes that groups of keys are the arguments of.
        args: the command line.
    """
    empty = [key for part, cls in parts.items() for key in _empty(config[part], cls, part)]
    return f"{empty[0]} is empty; give it a value, or leave it out{_place(empty[0], args)}" if empty else None


def _empty(values: Any, cls: Any, prefix: str) -> Iterator[str]:
    """Keys without a value below some values, of arguments of a class that need one."""
    if "class_path" in values:
        module, _, name = values.class_path.rpartition(".")
        cls, values, prefix = (
            getattr(import_module(module), name),
            values.get("init_args", Namespace()),
            f"{prefix}.init_args",
        )
    for name, parameter in inspect.signature(cls).parameters.items():
        value, annotation = values.get(name), parameter.annotation
        if name in values and value is None and type(None) not in _parts(annotation) and annotation is not Any:
            yield f"{prefix}.{name}"
        elif isinstance(value, Namespace):
            inner = next((part for part in _parts(annotation) if isinstance(part, type)), None)
            if inner is not None and inner is not type(None):
                yield from _empty(value, inner, f"{prefix}.{name}")


def constructible(*roots: type) -> list[type]:
    """The roots, and all classes of the project that can stand where their constructors ask for an object."""
    homes = {"swinv2", *(root.__module__.split(".")[0] for root in roots)}
    found = list(roots)
    for cls in found:  # grows
        annotations = (parameter.annotation for parameter in inspect.signature(cls).parameters.values())
        asked = {part for annotation in annotations for part in _parts(annotation) if isinstance(part, type)}
        for candidate in (sub for part in asked for sub in _subclasses(part)):
            if candidate.__module__.split(".")[0] in homes and candidate not in found:
                found.append(candidate)
    return found


def _unknown_key(key: str, args: Sequence[str], options: Sequence[str], classes: Sequence[type]) -> str:
    """The shortest part of the key that does not exist, and what may have been meant."""
    groups = {prefix: prefix for option in options for prefix in _prefixes(option)}
    leaves = {option.split(".")[-1]: option for option in options}
    arguments = {name: name for cls in classes for name in inspect.signature(cls).parameters}
    known = {prefix for prefix in _prefixes(key) if prefix in groups or prefix.split(".")[-1] in arguments}
    key = next((prefix for prefix in _prefixes(key) if prefix not in known), key)
    wrong = key if key.split(".")[0] in groups else key.split(".")[-1]  # inside a class the start of the key is missing
    return f"unknown key '{key}'{_place(key, args)}{_nearest(wrong, arguments | leaves | groups)}"


def _nearest(name: str, names: Mapping[str, str]) -> str:
    """A line that proposes the value of the key most like `name`, if one is like it."""
    match = difflib.get_close_matches(name, names, 1)
    return f"\n  did you mean '{names[match[0]]}'?" if match else ""


def _place(key: str, args: Sequence[str]) -> str:
    """Where a key or value stands in a recipe, unless it comes from the command line."""
    word = re.compile(rf"\b{re.escape(key.split('.')[-1])}\b")
    recipes = [*map(str, _recipes(args))]
    if any(word.search(arg) for arg in args if not any(arg.endswith(recipe) for recipe in recipes)):
        return ""
    for path in _recipes(args):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if word.search(line.split("#")[0]):
                return f" ({path}, line {number})"
    return ""


def _recipes(args: Sequence[str]) -> list[Path]:
    paths = re.findall(r"(?:^|\0)(?:--config|-c)[=\0]([^\0]+)", "\0".join(args))
    return [Path(path) for path in paths if Path(path).is_file()]


def _prefixes(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts) + 1)]


def _given(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group)


def _plain(text: str) -> str:
    return re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text).replace("typing.", "").replace("NoneType", "None")


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _subclasses(cls: type) -> Iterator[type]:
    subclasses: list[type] = type.__subclasses__(cls)  # called this way it works for `type` itself, too
    yield cls
    for sub in subclasses:
        yield from _subclasses(sub)
