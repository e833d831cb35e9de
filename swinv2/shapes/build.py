"""Making a data set once: its folder is either complete, with a record of its settings, or absent."""

import json
import logging
import shutil
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from swinv2.files.whole import beside, remove_leftovers

RECORD = "shapes.json"
VERSION = 2  # raise it when the same plan no longer gives the same files

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """Settings of a data set; the same plan always gives the same files.

    Attributes:
        task: one of the tasks of `write_shapes`.
        train: number of training pictures or clips, 1 or more.
        val: number of validation pictures or clips, 1 or more.
        size: side of the square pictures in pixels, even, 32 or more.
        seed: 0 or more.
        version: of the generator.

    Raises:
        ValueError: a number is out of range.
    """

    task: str
    train: int
    val: int
    size: int
    seed: int
    version: int = VERSION

    def __post_init__(self) -> None:
        """Check the numbers."""
        if min(self.train, self.val) < 1:
            raise ValueError(f"train and val must be 1 or more, got train={self.train} and val={self.val}.")
        if self.size < 32 or self.size % 2:
            raise ValueError(f"size must be an even number of pixels, 32 or more, got {self.size}; use e.g. 128.")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}.")

    @property
    def splits(self) -> dict[str, int]:
        """Number of pictures or clips of each split."""
        return {"train": self.train, "val": self.val}

    def rng(self, split: str, index: int) -> np.random.Generator:
        """Random generator of one picture or clip, independent of all others."""
        return np.random.default_rng([self.seed, zlib.crc32(f"{self.task}/{split}".encode()), index])


def make_once(folder: Path, plan: Plan, write: Callable[[Path, Plan], None]) -> Path:
    """Make a data set unless it is there already; several processes may do so at the same time.

    The files are written beside the folder and moved into place when all are there.

    Args:
        folder: of the data set.
        plan: settings of the data set.
        write: writes the files of a plan into a folder.

    Raises:
        FileExistsError: the folder holds anything but this data set.
        OSError: it cannot be written.
    """
    final = folder.resolve()
    if is_made(final, plan):
        log.info("%s is there already", folder)
        return folder
    log.info("making %s: %d + %d of %d pixels", folder, plan.train, plan.val, plan.size)
    if remove_leftovers(final.parent, final.name):
        log.info("removed what killed processes had begun to make of it")
    partial = beside(final)
    try:
        partial.mkdir(parents=True)
        write(partial, plan)
        (partial / RECORD).write_text(json.dumps(asdict(plan)))
        partial.rename(final)
    except OSError as error:
        if not is_made(final, plan):  # unless another process was faster
            raise OSError(
                f"Sample data cannot be made in {folder} ({error.strerror}: {error.filename}); make room there, or "
                "choose another folder."
            ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def is_made(folder: Path, plan: Plan) -> bool:
    """Whether a folder holds the data set of a plan; False if it is missing or empty.

    Raises:
        FileExistsError: the folder holds anything else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        raise FileExistsError(
            f"{folder} exists, but not as sample shapes (it has no readable {RECORD}). To use your own data in it, set "
            "data.shapes to null (--data.shapes null); else choose another folder."
        ) from None
    wanted = asdict(plan)
    if found != wanted:
        raise FileExistsError(
            f"{folder} holds sample shapes made with {found}, but {wanted} is asked for; "
            "delete the folder or choose another one, or set data.shapes to null to take it as it is."
        )
    return True


def save_image(path: Path, image: UInt8[np.ndarray, "h w *rgb"]) -> None:
    """Write an RGB or grey picture in the format of its suffix.

    Raises:
        OSError: it cannot be written.
    """
    pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(path.suffix, pixels)
    path.write_bytes(encoded.tobytes())
