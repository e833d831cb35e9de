"""What the label maps of a data set hold, before anything is trained on them."""

import logging
import random
from collections.abc import Iterable, Sequence
from contextlib import suppress

import numpy as np
from jaxtyping import Int64

from segmentation.class_list import LEVELS, ClassList
from segmentation.pairs import Pair
from swinv2.images import UnreadableImageError
from swinv2.index_maps import read_map

logger = logging.getLogger(__name__)

MAPS = 50  # to look at
PIXELS = 1 << 28  # to look at, and then no more maps
BLOCK = 1 << 22  # pixels that are counted at once
MOST = 0.95  # share of unknown pixels that is worth a warning

Counts = Int64[np.ndarray, " levels"]  # pixels of each value

ADVICE = (
    "If a value that is left out is a class, set data.ignore_index to a value that no file has, e.g. 65535, "
    "or data.reduce_zero_label to false for 0, and list both with names, e.g. '0: background' and '255: road'."
)


def check_maps(pairs: Sequence[Pair], class_list: ClassList, split: str) -> None:
    """See what maps hold by a sample of them, and warn if most of it is left out.

    In training two classes must occur; to be sure of that, all maps are looked at if need be.

    Args:
        pairs: whose maps are meant.
        class_list: what their values mean.
        split: "training" or "validation".

    Raises:
        ValueError: a map that is coloured or has a value that is no class, or training maps with nothing to learn.
    """
    sample = spread(len(pairs))
    counts = count((pairs[position] for position in sample), class_list, PIXELS)
    if split == "training" and counts.any() and not is_learnable(counts, class_list):
        logger.warning("A sample of the training maps has one class at most; looking through all %d.", len(pairs))
        counts = count(pairs, class_list)
        if not is_learnable(counts, class_list):
            raise ValueError(
                f"The {len(pairs)} training maps give nothing to learn, only {in_words(counts, class_list)}; at least "
                f"two classes must occur. {ADVICE}"
            )
    left_out = counts[[*class_list.ignored]].sum() / max(counts.sum(), 1)
    if left_out > MOST:
        logger.warning(
            f"Of the pixels in a sample of the {split} maps {left_out:.1%} are left out: "
            f"{in_words(counts, class_list)}. {ADVICE}"
        )


def spread(total: int) -> list[int]:
    """Up to `MAPS` positions from first to last, in an order in which a part of them is spread as well."""
    positions = np.linspace(0, total - 1, min(total, MAPS)).round().astype(int).tolist()
    return random.Random(0).sample(positions, len(positions))


def count(pairs: Iterable[Pair], class_list: ClassList, most: int | None = None) -> Counts:
    """How many pixels maps have of each value; maps that cannot be read do not count.

    Args:
        pairs: whose maps are meant.
        class_list: what their values mean.
        most: look at no other map after so many pixels; by default, after two classes or more.

    Raises:
        ValueError: a map that is coloured, or has a value that is no class.
    """
    counts = np.zeros(LEVELS, np.int64)
    for pair in pairs:
        with suppress(UnreadableImageError):  # which is counted when its turn comes
            values = read_map(pair.map)
            class_list.to_labels(values, pair.map)
            for block in np.array_split(values, values.size // BLOCK + 1):
                counts += np.bincount(block.ravel(), minlength=LEVELS)
        if is_learnable(counts, class_list) if most is None else counts.sum() >= most:
            break
    return counts


def is_learnable(counts: Counts, class_list: ClassList) -> bool:
    """Whether two classes or more occur."""
    return bool(np.count_nonzero(counts[[*class_list.values]]) > 1)


def in_words(counts: Counts, class_list: ClassList) -> str:
    """The values that occur, what they mean, and of how many pixels."""
    names = dict(zip(class_list.values, class_list.names, strict=True))
    found = np.flatnonzero(counts).tolist()
    return ", ".join(f"{value} ({names.get(value, 'left out')}, {counts[value]} pixels)" for value in found)
