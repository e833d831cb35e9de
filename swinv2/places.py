"""Where the files of a data set are."""

from pathlib import Path


def locate(root: Path, name: str) -> Path:
    """A file below the root, or by its own path if it is there only."""
    below, alone = root / name, Path(name)
    return alone if alone.is_file() and not below.is_file() else below
