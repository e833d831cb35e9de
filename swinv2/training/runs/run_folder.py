"""Run folder of a recipe: version_0, version_1, … for logs, checkpoints/ for best and last checkpoint.

The folder is `trainer.default_root_dir`; `TaskCLI` in `swinv2/commands/task.py` sets its default, runs/TASK/RECIPE.
"""

import atexit
import logging
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ...files.whole import remove_leftovers, sync
from ...weights.tensor_files import damage_of
from .run_lock import RunLock, take_folder

log = logging.getLogger(__name__)

SHARDED = ".metadata"  # file in a sharded checkpoint, which is a folder with a part for each process


def claim_version(folder: Path) -> int:
    """Number of a new run, from 0; its folder is made, so that no other run takes it.

    Args:
        folder: of the recipe.

    Raises:
        OSError: the folder cannot be made.
    """
    number = next_version(folder)
    if getattr(rank_zero_only, "rank", 0):
        return number  # only the first process writes there
    while True:
        try:
            (folder / f"version_{number}").mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return number


def next_version(folder: Path) -> int:
    """Number of the next run in a folder: one more than the highest."""
    taken = [int(path.name[8:]) for path in folder.glob("version_*") if path.name[8:].isdecimal()]
    return max(taken, default=-1) + 1


def set_aside(folder: Path) -> None:
    """Rename the folder of an earlier run, so that a new run neither overwrites its files nor mixes with them.

    Args:
        folder: of checkpoints or results; it need not exist. It is removed if it is empty, or holds only partly written
            files of a killed run.
    """
    for earlier in (folder, *folder.parent.glob(f"{folder.name}.*")):
        remove_leftovers(earlier)
        with suppress(OSError):  # it is not empty
            earlier.rmdir()
    if not folder.is_dir():
        return
    number = 1
    while (kept := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    folder.rename(kept)
    log.warning("Starting anew: the %s of the earlier run are now in %s.", folder.name, kept)


class KeptRuns(Callback):
    """Protects checkpoints of earlier and concurrent runs; a run that fails before its first step leaves no log.

    While a training has a folder of checkpoints, another training saves to a folder beside it, `NAME-2`.

    Args:
        folders: folders of checkpoints.
    """

    def __init__(self, folders: Collection[Path]):
        self.folders = {folder.resolve() for folder in folders}
        self.locks: list[RunLock] = []
        self.started = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the folders of checkpoints, now that model and data are known to work.

        Raises:
            ValueError: the run to resume is still under way.
            OSError: a folder cannot be written to.
        """
        self.started = True
        savers = [one for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint)]
        folders = {Path(one.dirpath) for one in savers if one.dirpath} & self.folders
        if trainer.fast_dev_run or not folders:  # type: ignore[attr-defined]
            return
        places = None
        try:
            places = self._take(sorted(folders), trainer.ckpt_path) if trainer.is_global_zero else None
        except OSError as error:
            raise OSError(
                f"Checkpoints cannot be saved to {', '.join(map(str, folders))} ({error.strerror}: {error.filename}); "
                "give trainer.default_root_dir, or the dirpath of best_checkpoint and last_checkpoint, a folder that "
                "can be written."
            ) from error
        finally:
            places = trainer.strategy.broadcast(places)  # None if the first process has failed
        if places is None:
            raise ValueError("The first process has no folder to save to.")
        for one in savers:
            one.dirpath = places.get(str(one.dirpath), one.dirpath)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the folders back, at exit if the state is still to be saved; remove the log of a run without a step."""
        if isinstance(exception, SIGTERMException):
            atexit.register(self._give_back)
        else:
            self._give_back()
        if self.started or not trainer.is_global_zero:
            return
        for folder in (getattr(board, "log_dir", None) for board in trainer.loggers):
            if folder:
                shutil.rmtree(folder, ignore_errors=True)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the folders back."""
        self._give_back()

    def _take(self, folders: Collection[Path], resumed: str | Path | None) -> dict[str, str]:
        """Folder to save to, by the path of the one asked for."""
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            sync(folder)
            own = RunLock(folder)
            goes_on = resumed is not None and Path(resumed).resolve().parent == folder
            if goes_on and not own.take():
                raise ValueError(
                    f"The training in {folder} is under way ({own.holder()}); wait for its end, or start another one "
                    "in a folder of its own with --trainer.default_root_dir."
                )
            self.locks.append(own if goes_on else take_folder(folder))
            if resumed is None:
                set_aside(self.locks[-1].folder)
            else:
                remove_leftovers(self.locks[-1].folder)
        return {str(folder): str(lock.folder) for folder, lock in zip(folders, self.locks, strict=True)}

    def _give_back(self) -> None:
        while self.locks:
            self.locks.pop().give_back()


def find_checkpoint(which: str, folders: Mapping[str, Path]) -> Path:
    """File that `--ckpt_path` means.

    Args:
        which: "best", "last" or a path.
        folders: those of best.ckpt and last.ckpt, by "best" and "last".

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a complete checkpoint.
    """
    path = folders[which] / f"{which}.ckpt" if which in folders else Path(which)
    if not path.exists():
        raise FileNotFoundError(
            f"There is no checkpoint {path}; run fit first, or give --ckpt_path a file, or null to take the model as "
            "the recipe builds it."
        )
    if path.is_dir() and not (path / SHARDED).exists():
        inside = sorted(path.rglob("*.ckpt"))[:3]
        known = f"it holds {', '.join(map(str, inside))}" if inside else "it holds none"
        raise ValueError(f"{path} is a folder, and no checkpoint in parts; give --ckpt_path a file ({known}).")
    if not path.is_dir() and (damage := damage_of(path)):
        raise ValueError(f"{path} is not a complete checkpoint: {damage}. {_other(path)}")
    return path


def _other(damaged: Path) -> str:
    """Advice for a damaged checkpoint: the latest whole one beside it, if there is one."""
    beside = [path for path in damaged.parent.glob("*.ckpt") if path != damaged and path.is_file()]
    for path in sorted(beside, key=lambda one: one.stat().st_mtime, reverse=True):
        if not damage_of(path):
            return f"{path} is whole: go on from it with --ckpt_path {path}."
    return "There is no whole one beside it; copy or download it again."
