"""Where a run keeps its things: RECIPE/version_0, version_1, … for logs and RECIPE/checkpoints for best and last."""

import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger(__name__)


def next_version(folder: Path) -> int:
    """Number of a new run, 0 for the first.

    Args:
        folder: of the recipe.
    """
    taken = [int(path.name[8:]) for path in folder.glob("version_*") if path.name[8:].isdecimal()]
    return max(taken, default=-1) + 1


def set_aside(folder: Path) -> None:
    """Rename a folder of an earlier run, so that a new run neither overwrites what is in it nor mixes with it.

    Args:
        folder: of checkpoints or results; it need not exist.
    """
    if not folder.is_dir():
        return
    number = 1
    while (kept := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    folder.rename(kept)
    log.warning("Starting anew: the %s of the earlier run are now in %s.", folder.name, kept)


def find_checkpoint(which: str, folders: Mapping[str, Path]) -> Path:
    """The file that `--ckpt_path` means.

    Args:
        which: "best", "last" or a path.
        folders: where best.ckpt and last.ckpt are.

    Raises:
        FileNotFoundError: if it does not exist.
        ValueError: if it is no complete checkpoint.
    """
    path = folders[which] / f"{which}.ckpt" if which in folders else Path(which)
    if not path.exists():
        raise FileNotFoundError(
            f"There is no checkpoint {path}; run fit first, or give --ckpt_path a file, or null to take the model as "
            "the recipe builds it."
        )
    if path.is_file() and not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a complete checkpoint; it may be cut off, copy or download it again.")
    return path
