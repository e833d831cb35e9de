"""What is wrong with a recipe or an option, in the few lines that matter."""

import difflib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from jsonargparse import Namespace

from .recipe_files import WrongRecipeError
from .trusted_code import TRUSTED

KEY = re.compile(
    r"unrecognized arguments: -*([\w.]+)|ambiguous option: -*([\w.]+)"
    r"|accept option '([\w.]+)'|Option '([\w.]+)' is not accepted"
)
STRAY = re.compile(r"unrecognized arguments: (?:.* )?([^-\s]\S*\.(?:yaml|yml|json))")
MISSING = re.compile(r"arguments are required: (.+)")
GROUPS = ("model", "data", "trainer", "best_checkpoint", "last_checkpoint", "health")  # of keys
CONFIG = re.compile(r"Unexpected config: (.*)|\"config\": Path is not a file: '(.+)'", re.DOTALL)
VALUE = re.compile(r'key "([\w.]+)":\s*Expected an? (.+)\. Got value: (.+)')
CLASS = re.compile(r"class_path '([\w.]+)'|import path string: ([\w.]+)|Import path ([\w.]+) does not")
NESTED = re.compile(  # an option of a class that stands for an option
    r'key "([\w.]+)":[^"]*Problem with given class_path [^\n]+\n\s+Parser key "([\w.]+)":(.*)', re.DOTALL
)
EXPECTED = re.compile(r"- (Expected an? [^\n]+\. Got value: [^\n]+)")
CAUSE = re.compile(r"Union subtypes\n.*?Errors:\n\s+- (?!Expected|Problem)([^\n]+)", re.DOTALL)  # what a class raised
FOREIGN = re.compile(r"Importing '([\w.]+)' is not allowed")
UNION = re.compile(r'key "([\w.]+)":.*Subtypes: \[(.*?)\]\n.*Given value: (.+)', re.DOTALL)


def explain(message: str, args: Sequence[str], options: Sequence[str], classes: Sequence[type]) -> str:
    """One to four lines for a newcomer from what the parser says, with the nearest key, class or file.

    Args:
        message: of the parser.
        args: the command line that it is about.
        options: names of all options, e.g. "trainer.devices".
        classes: classes that a recipe can name, see `constructible`.
    """
    if match := FOREIGN.search(message):
        name = _given(match)
        if name.split(".")[0] in TRUSTED:
            return f"'{name}' reads or runs code from elsewhere, which no recipe may{_place(name, args)}"
        return (
            f"class_path '{name}' is code of another project, which would be run{_place(name, args)}\n"
            f"  if you trust it, add --allow {name.split('.')[0]}"
        )
    if match := CAUSE.search(message):
        return _given(match)
    if match := STRAY.search(message):
        return f"{match[1]} stands alone; a recipe is given by --config {match[1]}"
    if match := KEY.search(message):
        key = _given(match)
        if key in options:
            return f"{key} stands without its dashes; write --{key} VALUE"
        return _unknown_key(key, args, options, classes)
    if match := MISSING.search(message):
        names = re.sub(r"\b(fit|validate|predict)\.", "", _given(match)).split(", ")
        on_command_line = f" or on the command line (--{names[0]} …)" if names[0] in options else ""
        return f"missing: {', '.join(names)}\n  set it in a recipe (--config FILE){on_command_line}"
    if match := CONFIG.search(message):
        given = (match[1] or match[2] or "nothing").splitlines()[0]
        return f"--config takes the file of a recipe, e.g. --config recipe.yaml, got {given}"
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
    source = " ".join(map(str, recipes(args)))
    return "\n".join(_plain(message).replace('"<unicode string>"', source).splitlines()[:4])


def check_filled(config: Namespace, parts: Mapping[str, type], args: Sequence[str]) -> None:
    """See that no key is left empty (null) that needs a value; the parser lets such through.

    Args:
        config: of one command.
        parts: classes that groups of keys are the arguments of.
        args: the command line.

    Raises:
        WrongRecipeError: one is.
    """
    empty = [group for group in GROUPS if group in config and config[group] is None]
    empty = empty or [key for part, cls in parts.items() for key in _empty(config[part], cls, part)]
    if empty:
        raise WrongRecipeError(f"{empty[0]} is empty; give it a value, or leave it out{_place(empty[0], args)}")


def _empty(values: Any, cls: Any, prefix: str) -> Iterator[str]:
    """Keys without a value below some values, of arguments of a class that need one."""
    if "class_path" in values:
        module, _, name = values.class_path.rpartition(".")
        cls, values, prefix = (
            getattr(import_module(module), name),
            values.get("init_args") or Namespace(),
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
    files = recipes(args)
    if any(word.search(arg) for arg in args if not any(arg.endswith(str(file)) for file in files)):
        return ""
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if word.search(line.split("#")[0]):
                return f" ({path}, line {number})"
    return ""


def recipes(args: Sequence[str]) -> list[Path]:
    """Files that a command line gives by --config."""
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
