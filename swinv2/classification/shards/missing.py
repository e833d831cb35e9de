"""Unusable shards, and samples without image or label: counted in the log, and an error if there are too many."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from .index import ShardIndex
from .labels import UNLABELLED, WRONG

logger = logging.getLogger(__name__)

SHOWN = 3  # names in a message


def check_shards(pattern: Path, errors: Mapping[Path, Exception], total: int) -> None:
    """Warn about files that are no shards, with their number.

    Args:
        pattern: of all files.
        errors: error of each such file.
        total: number of all files.

    Raises:
        ValueError: more than half of the files are no shards.
    """
    if not errors:
        return
    first = next(iter(errors.values()))
    if 2 * len(errors) > total:
        raise ValueError(f"{len(errors)} of {total} shards {pattern} cannot be used, first: {first}")
    logger.warning("Skipped %d of %d shards %s, first: %s", len(errors), total, pattern, first)


def tell_losses(pattern: Path, indices: Mapping[Path, ShardIndex], labelled: bool) -> None:
    """Warn about truncated shards, and incomplete, repeated or unlabelled samples, with the place of the first.

    Args:
        pattern: of the shards.
        indices: index of each shard.
        labelled: whether images without a label are left out.
    """
    if cut := [(path, len(index.labels)) for path, index in indices.items() if index.cut]:
        shown = ", ".join(f"{path} (after {count} images)" for path, count in cut[:SHOWN])
        text = "%d of %d shards are cut off, first %s; the images before are used. Fetch these shards again."
        logger.warning(text, len(cut), len(indices), shown)
    if dotted := [index for index in indices.values() if index.by_last_dot and len(index.labels)]:
        text = "In %d of %d shards %s no key up to the first dot has an image; keys go up to the last dot, as in %s"
        logger.warning(text, len(dotted), len(indices), pattern, dotted[0].files[0])
    if incomplete := sum(index.incomplete for index in indices.values()):
        logger.warning("Passed over %d samples in %s that lack an image", incomplete, pattern)
    if repeated := sum(index.repeated for index in indices.values()):
        text = "%d files in %s have the name of another: of one sample the last is taken, of several samples each"
        logger.warning(text, repeated, pattern)
    if labelled:
        tell_unlabelled(indices)


def tell_unlabelled(indices: Mapping[Path, ShardIndex]) -> None:
    """Warn about images that are left out because they have no label, or one that is no number.

    Args:
        indices: index of each shard.
    """
    missing, wrong = (count(indices.values(), kind) for kind in (UNLABELLED, WRONG))
    if missing:
        first = next(path for path, index in indices.items() if UNLABELLED in index.labels)
        logger.warning("Passed over %d images without a label, the first in %s", missing, first)
    if wrong:
        first, text = next((path, index.wrong) for path, index in indices.items() if index.wrong)
        logger.warning(
            "Passed over %d images whose label is no number, the first in %s, where %s; give the number of the class, "
            'from 0, as text in .cls or as {"label": 0} in .json.',
            *(wrong, first, text),
        )


def check_losses(pattern: Path, indices: Collection[ShardIndex], images: int) -> None:
    """Raise unless at least half of the samples can be used.

    Args:
        pattern: of the shards.
        indices: index of each shard.
        images: number of usable images.

    Raises:
        ValueError: fewer can be used.
    """
    total = sum(len(index.labels) + index.incomplete for index in indices)
    if 2 * images < total:
        raise ValueError(
            f"Of {total} samples in the shards {pattern} only {images} can be used; the messages above say what the "
            "others lack. A sample is an image with its label, 0017.jpg and 0017.cls."
        )


def count(indices: Collection[ShardIndex], kind: int) -> int:
    """Number of images with a label of this kind, UNLABELLED or WRONG."""
    return sum(int(np.count_nonzero(index.labels == kind)) for index in indices)
