"""Images in WebDataset shards, read in any order without unpacking the shards."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ...imaging.reading import UnreadableImageError
from ..items import ImageItems, Strings
from .index import IMAGES, ShardIndex, index_shard
from .missing import check_losses, check_shards, tell_losses
from .patterns import find_shards

READERS = 16  # threads that index shards; on network disks most of the time is waiting
MOST_BYTES = 1 << 30  # of an encoded image


class OpenFiles:
    """Cache of open files, the most recently used ones; each process has its own.

    Args:
        most: number of files that stay open.
    """

    def __init__(self, most: int = 16) -> None:
        self.most = most
        self.handles: OrderedDict[Path, int] = OrderedDict()

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """Bytes of a file.

        Args:
            path: the file.
            offset: of the first byte.
            size: number of bytes; the result is shorter if the file ends before.

        Raises:
            OSError: the file cannot be read.
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
    """Images of shards, in the order of the shards.

    Args:
        paths: the shards.
        indices: index of each shard.
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
        """Shard of an image and its name in it."""
        return self.shard(index) / self.files[index]

    def shard(self, index: int) -> Path:
        """Shard of an image."""
        return self.paths[int(np.searchsorted(self.ends, index, side="right"))]

    def read(self, index: int) -> bytes:
        """Encoded image; raises UnreadableImageError if it cannot be read."""
        offset, size = int(self.offsets[index]), int(self.sizes[index])
        if size > MOST_BYTES:
            raise UnreadableImageError(f"{self.path(index)} has {size} bytes; an image has {MOST_BYTES} at most")
        try:
            data = self.open_files.read(self.shard(index), offset, size)
        except OSError as error:
            raise UnreadableImageError(f"{self.shard(index)} cannot be opened: {error.strerror}") from error
        if len(data) < size:
            raise UnreadableImageError(f"{self.path(index)} is cut short: the shard has become shorter")
        return data


def read_shards(root: Path, pattern: str, labelled: bool = True) -> ShardImages:
    """Images of the shards that match a pattern; the log counts unusable shards and samples.

    Args:
        root: folder that the pattern starts from.
        pattern: see `find_shards`.
        labelled: leave out images without a numeric label; otherwise their labels are below 0.

    Raises:
        FileNotFoundError: shards are missing, or there is no image in them.
        ValueError: more than half of the shards or of their samples cannot be used.
    """
    paths = find_shards(root, pattern)
    with ThreadPoolExecutor(READERS) as threads:
        found = [*threads.map(index_or_error, paths)]
    by_path = dict(zip(paths, found, strict=True))
    check_shards(root / pattern, {path: one for path, one in by_path.items() if isinstance(one, Exception)}, len(paths))
    indices = {path: one for path, one in by_path.items() if isinstance(one, ShardIndex)}
    tell_losses(root / pattern, indices, labelled)
    kept = [index.labelled() if labelled else index for index in indices.values()]
    images = ShardImages([*indices], kept)
    if not len(images):
        wanted = "pairs like 0017.jpg and 0017.cls (or .json with a label)" if labelled else "images like 0017.jpg"
        raise FileNotFoundError(
            f"The shards {root / pattern} have no images{' with labels' * labelled}; looked for {wanted}, also "
            f"{', '.join(IMAGES[1:])}."
        )
    check_losses(root / pattern, indices.values(), len(images))
    return images


def index_or_error(shard: Path) -> ShardIndex | Exception:
    """Index of a shard, or the error of reading it."""
    try:
        return index_shard(shard)
    except (ValueError, OSError) as error:
        return error
