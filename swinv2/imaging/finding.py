"""Search for image files by paths, folders and globs."""

import glob
import itertools
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from .decoding.formats import OTHER_PICTURES, SUFFIXES

logger = logging.getLogger(__name__)


def unique_names(names: Sequence[str]) -> list[str]:
    """Names made unique: a repeated one gets a number at its end."""
    taken, found = {*names}, dict[str, None]()
    for name in names:
        if name in found:
            name = next(one for one in (f"{name}_{i}" for i in itertools.count(2)) if one not in taken)
            taken.add(name)
        found[name] = None
    return [*found]


def find_images(patterns: Sequence[str]) -> list[Path]:
    """Image files that match paths, folders and globs, as in `named_images`."""
    return list(named_images(patterns))


def named_images(patterns: Sequence[str]) -> dict[Path, str]:
    """Image files that match paths, folders and globs, in order and each once, with names for their results.

    A name is the path below the given folder, or else the file's name, without suffix; names may repeat. Pictures of
    formats that are not read are counted in the log.

    Args:
        patterns: a file is taken whatever its suffix; a folder stands for the images in it and its subfolders, but for
            hidden ones; a glob may have `**`.

    Raises:
        FileNotFoundError: a pattern matches nothing.
    """
    found: dict[Path, str] = {}
    for pattern in patterns:
        path = Path(pattern)
        names = glob.glob(pattern, recursive=True) if not path.is_dir() else map(path.joinpath, files_below(path))
        files = [path] if path.is_file() else sorted(map(Path, names))
        images = [file for file in files if is_image(file.name) or path.is_file()]
        others = [file for file in files if file.suffix.lower() in OTHER_PICTURES and not path.is_file()]
        if not images:
            passed_over = f" There are pictures that are not read: {in_words(others)}." if others else ""
            raise FileNotFoundError(
                f"No image matches {pattern!r}; give files, folders or globs of {', '.join(SUFFIXES)} images."
                + passed_over
            )
        if others:
            text = "Of %d pictures in %s %d are passed over by their suffix: %s. Save such as JPEG or PNG."
            logger.warning(text, len(images) + len(others), pattern, len(others), in_words(others))
        for file in images:
            name = file.relative_to(path) if path.is_dir() else Path(file.name)
            found.setdefault(file, name.with_suffix("").as_posix())
    return found


def in_words(files: Sequence[Path]) -> str:
    """Number of files by suffix, and the first file, as text."""
    counts = Counter(file.suffix.lower() for file in files)
    return f"{', '.join(f'{count} {suffix}' for suffix, count in sorted(counts.items()))}, first {min(files)}"


def files_below(folder: str | Path, above: Sequence[str] = ()) -> Iterator[str]:
    """Paths of all files in a folder and its subfolders, relative to it, in no order.

    Hidden files and folders are left out, and links that lead back to a folder above are not followed.

    Args:
        folder: to search.
        above: real paths of the folders above it in the search.
    """
    here = os.path.realpath(folder)
    for entry in visible(folder) if here not in above else ():
        if entry.is_dir():
            yield from (f"{entry.name}/{file}" for file in files_below(entry.path, (*above, here)))
        else:
            yield entry.name


def visible(folder: str | Path) -> list[os.DirEntry[str]]:
    """Entries of a folder that are not hidden."""
    with os.scandir(folder) as entries:
        return [entry for entry in entries if entry.name[0] != "."]


def is_image(name: str) -> bool:
    """Whether a file is an image by its suffix."""
    return name.lower().endswith(SUFFIXES)
