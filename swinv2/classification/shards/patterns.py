"""Patterns of shards: globs, ranges and choices as in a shell."""

import glob
import math
import re
from itertools import product
from pathlib import Path

BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})")
MOST = 1_000_000  # shards that a pattern may expand to
SHOWN = 3  # names in a message
COMPRESSED = {  # command that decompresses files with this suffix
    **dict.fromkeys((".tar.gz", ".tgz", ".gz"), "gunzip"),
    **dict.fromkeys((".tar.bz2", ".tbz", ".tbz2", ".bz2"), "bunzip2"),
    **dict.fromkeys((".tar.xz", ".txz", ".xz"), "unxz"),
    **dict.fromkeys((".tar.zst", ".tzst", ".zst"), "unzstd"),
    **{".zip": "unzip", ".7z": "7z x", ".rar": "unrar x"},
}


def names_shards(root: Path, source: str) -> bool:
    """Whether a source of images is a pattern of shards, not a folder.

    Args:
        root: folder that the source starts from.
        source: path of a folder, or pattern of tar files.

    Raises:
        ValueError: it is a pattern of compressed files.
    """
    name = source.lower()
    suffix = next((suffix for suffix in COMPRESSED if name.endswith(suffix)), None)
    if suffix is not None and not (root / source).is_dir():
        to = "a folder for each class" if suffix in (".zip", ".7z", ".rar") else "tar files, e.g. 'train-*.tar'"
        raise ValueError(
            f"{root / source} names compressed files; images are read in place, so decompress these "
            f"first ({COMPRESSED[suffix]} …{suffix}), and give {to}."
        )
    return name.endswith(".tar") and not (root / source).is_dir()


def find_shards(root: Path, pattern: str) -> list[Path]:
    """Shards that match a pattern, in its order; matches of a glob are sorted.

    Args:
        root: folder that the pattern starts from.
        pattern: path of tar files, with globs, ranges and choices: `train-{0000..0146}.tar`, `{train,extra}/*.tar`.

    Raises:
        FileNotFoundError: shards are missing.
        ValueError: the pattern expands to more than a million names.
    """
    found: list[Path] = []
    missing = []
    for text in expand(str(root / pattern)):
        paths = [Path(text)] if Path(text).is_file() else sorted(map(Path, glob.glob(text, recursive=True)))
        files = [path for path in paths if path.is_file()]
        found += files
        missing += [] if files else [text]
    if not found and not missing:
        raise FileNotFoundError(f"{root / pattern} names no shards; a range goes up, e.g. 'train-{{0000..0146}}.tar'.")
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of the shards {root / pattern} are not there, first {', '.join(missing[:SHOWN])}; check "
            "data.root, or name those that are there, e.g. 'train-{0000..0146}.tar' or 'train-*.tar'."
        )
    return list(dict.fromkeys(found))


def expand(pattern: str) -> list[str]:
    """Texts that a pattern with braces expands to: `a{08..10}` to a08, a09 and a10, `{a,b}` to a and b.

    Raises:
        ValueError: there are more than a million.
    """
    texts = BRACES.split(pattern)  # outside, inside, outside, …
    choices = [choices_of(text) if position % 2 else [text] for position, text in enumerate(texts)]
    if (count := math.prod(map(len, choices))) > MOST:
        raise ValueError(f"{pattern} stands for {count} shards; up to {MOST} are taken. Give a shorter range.")
    return ["".join(parts) for parts in product(*choices)]


def choices_of(inside: str) -> list[str]:
    """Texts between braces: a range of numbers, padded to the digits of the first, or choices separated by commas.

    Raises:
        ValueError: a range has more than a million numbers.
    """
    numbers = RANGE.fullmatch(inside)
    if numbers is None:
        return inside.split(",")
    first, last = int(numbers[1]), int(numbers[2])
    if last - first >= MOST:
        raise ValueError(f"The range {{{inside}}} has {last - first + 1} numbers; up to {MOST} are taken.")
    return [f"{number:0{len(numbers[1])}}" for number in range(first, last + 1)]
