"""Images in WebDataset shards, read in any order without unpacking them."""

import glob
import logging
import os
import re
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ..images import UnreadableImageError
from .items import ImageItems, Strings
from .shard_index import UNLABELLED, WRONG, ShardIndex, index_shard

logger = logging.getLogger(__name__)

BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
READERS = 16  # threads that look into shards; on network disks most of the time is waiting
SHOWN = 3  # names in a message


class OpenFiles:
    """Keeps the last few files open that were read from; each process has its own, and reads at places of its own.

    Args:
        most: how many stay open.
    """

    def __init__(self, most: int = 16) -> None:
        self.most = most
        self.handles: OrderedDict[Path, int] = OrderedDict()

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """Some bytes of a file.

        Args:
            path: the file.
            offset: of the first.
            size: how many; fewer come if the file is shorter.

        Raises:
            OSError: it cannot be read.
        """
        if path not in self.handles:
            self.handles[path] = os.open(path, os.O_RDONLY)
            if len(self.handles) > self.most:
                os.close(self.handles.popitem(last=False)[1])
        self.handles.move_to_end(path)
        return os.pread(self.handles[path], size, offset)

    def __getstate__(self) -> dict[str, Any]:
        return {"most": self.most, "handles": OrderedDict()}

    def __del__(self) -> None:
        for handle in self.handles.values():
            os.close(handle)


class ShardImages(ImageItems):
    """The images of some shards, in their order.

    Args:
        paths: the shards.
        indices: what is in each.
    """

    def __init__(self, paths: Sequence[Path], indices: Sequence[ShardIndex]) -> None:
        files = Strings(file for index in indices for file in index.files)
        super().__init__(files, np.concatenate([index.labels for index in indices]))
        self.paths = paths
        self.offsets = np.concatenate([index.offsets for index in indices])
        self.sizes = np.concatenate([index.sizes for index in indices])
        self.shards = [len(index.labels) for index in indices]
        self.ends = np.cumsum(self.shards)
        self.open_files = OpenFiles()

    def path(self, index: int) -> Path:
        """The shard, and the name of an image in it."""
        return self.shard(index) / self.files[index]

    def shard(self, index: int) -> Path:
        """The file that an image is in."""
        return self.paths[int(np.searchsorted(self.ends, index, side="right"))]

    def read(self, index: int) -> bytes:
        """The encoded image; raises UnreadableImageError if it cannot be read."""
        offset, size = int(self.offsets[index]), int(self.sizes[index])
        try:
            data = self.open_files.read(self.shard(index), offset, size)
        except OSError as error:
            raise UnreadableImageError(f"{self.shard(index)} cannot be opened: {error.strerror}") from error
        if len(data) < size:
            raise UnreadableImageError(f"{self.path(index)} is cut short: the shard has become shorter")
        return data


def read_shards(root: Path, pattern: str, labelled: bool = True) -> ShardImages:
    """The images of the shards that a pattern names; the log counts what is missing in them.

    Args:
        root: folder that the pattern starts from.
        pattern: as in `find_shards`.
        labelled: leave out images without a label that is a number; otherwise their labels are below 0.

    Raises:
        FileNotFoundError: shards are missing, or there is no image in them.
        ValueError: a file that is no shard.
    """
    paths = find_shards(root, pattern)
    with ThreadPoolExecutor(READERS) as threads:
        indices = [*threads.map(index_shard, paths)]
    if cut := [(path, len(index.labels)) for path, index in zip(paths, indices, strict=True) if index.cut]:
        shown = ", ".join(f"{path} (after {count} images)" for path, count in cut[:SHOWN])
        text = "%d of %d shards are cut off, first %s; the images before are used. Fetch these shards again."
        logger.warning(text, len(cut), len(paths), shown)
    if incomplete := sum(index.incomplete for index in indices):
        logger.warning("Passed over %d samples in %s that lack an image", incomplete, root / pattern)
    if labelled:
        count_unlabelled(paths, indices)
        indices = [index.labelled() for index in indices]
    images = ShardImages(paths, indices)
    if not len(images):
        wanted = "pairs like 0017.jpg and 0017.cls (or .json with a label)" if labelled else "images like 0017.jpg"
        raise FileNotFoundError(
            f"The shards {root / pattern} have no images{' with labels' * labelled}; looked for {wanted}, also .jpeg, "
            ".png and .webp."
        )
    return images


def count_unlabelled(paths: Sequence[Path], indices: Sequence[ShardIndex]) -> None:
    """Let the log count the images that are passed over because they have no label, or one that is no number.

    Args:
        paths: the shards.
        indices: what is in each.
    """
    missing, wrong = (sum(int((index.labels == kind).sum()) for index in indices) for kind in (UNLABELLED, WRONG))
    if missing:
        first = next(path for path, index in zip(paths, indices, strict=True) if UNLABELLED in index.labels)
        logger.warning("Passed over %d images without a label, the first in %s", missing, first)
    if wrong:
        first, text = next((path, index.wrong) for path, index in zip(paths, indices, strict=True) if index.wrong)
        logger.warning(
            "Passed over %d images whose label is no number, the first in %s, where %s; give the number of the class, "
            'from 0, as text in .cls or as {"label": 0} in .json.',
            *(wrong, first, text),
        )


def find_shards(root: Path, pattern: str) -> list[Path]:
    """The shards that a pattern names, in its order; what a glob finds is sorted.

    Args:
        root: folder that the pattern starts from.
        pattern: path of tar files, with globs, ranges and choices: `train-{0000..0146}.tar`, `{train,extra}/*.tar`.

    Raises:
        FileNotFoundError: some are not there.
    """
    found: list[Path] = []
    missing = []
    for text in expand(str(root / pattern)):
        paths = [Path(text)] if Path(text).is_file() else sorted(map(Path, glob.glob(text, recursive=True)))
        found += paths
        missing += [] if paths else [text]
    if not found and not missing:
        raise FileNotFoundError(f"{root / pattern} names no shards; a range goes up, e.g. 'train-{{0000..0146}}.tar'.")
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of the shards {root / pattern} are not there, first {', '.join(missing[:SHOWN])}; check "
            "data.root, or name those that are there, e.g. 'train-{0000..0146}.tar' or 'train-*.tar'."
        )
    return list(dict.fromkeys(found))


def expand(pattern: str) -> list[str]:
    """The texts that a pattern with braces stands for: `a{08..10}` for a08, a09 and a10, `{a,b}` for a and b."""
    texts = BRACES.split(pattern)  # outside, inside, outside, …
    choices = [choices_of(text) if position % 2 else [text] for position, text in enumerate(texts)]
    return ["".join(parts) for parts in product(*choices)]


def choices_of(inside: str) -> list[str]:
    """What stands between braces: a range of numbers of as many digits as the first, or choices with commas between."""
    numbers = RANGE.fullmatch(inside)
    if numbers is None:
        return inside.split(",")
    return [f"{number:0{len(numbers[1])}}" for number in range(int(numbers[1]), int(numbers[2]) + 1)]
