"""Check of the values in a data set's label maps, before training."""

import logging
import random
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Int64

from segmentation.data.class_list import ClassList
from segmentation.data.class_numbers import LEVELS
from segmentation.data.pairs import Pair
from swinv2.imaging.label_maps import read_map
from swinv2.imaging.reading import UnreadableImageError

logger = logging.getLogger(__name__)

MAPS = 50  # size of the sample
PIXELS = 1 << 28  # pixels after which the sample ends early
BLOCK = 1 << 22  # pixels counted at once
MOST = 0.95  # share of ignored pixels above which there is a warning
MOST_WRONG = 0.1  # greatest share of wrong maps in a sample; more is no accident

Counts = Int64[np.ndarray, " levels"]  # pixels of each value

ADVICE = (
    "If a value that is left out is a class, set data.ignore_index to a value that no file has, e.g. 65535, "
    "or data.reduce_zero_label to false for 0, and list both with names, e.g. '0: background' and '255: road'."
)


def check_maps(pairs: Sequence[Pair], class_list: ClassList, split: str) -> None:
    """Check the values in a sample of label maps, and warn if most pixels are ignored.

    In training two classes must occur, in validation one; if the sample has fewer, all maps are read.

    Args:
        pairs: pairs with the maps.
        class_list: classes of the maps' values.
        split: "training" or "validation".

    Raises:
        ValueError: more than a tenth of the sample is coloured, lossily compressed or has a value that is no class, or
            there is nothing to learn or to score.
    """
    least = {"training": 2, "validation": 1}[split]
    sample = [pairs[position] for position in spread(len(pairs))]
    wrong: list[ValueError] = []
    counts = count(sample, class_list, lambda counts: counts.sum() >= PIXELS, wrong)
    check_wrong(wrong, len(sample), split)
    if counts.any() and classes_in(counts, class_list) < least:
        text = "A sample of the %s maps has %s; looking through all %d."
        logger.warning(text, split, "one class at most" if least > 1 else "no pixel of a class", len(pairs))
        counts = count(pairs, class_list, lambda counts: classes_in(counts, class_list) >= least, [])
        if classes_in(counts, class_list) < least:
            raise nothing_in(counts, class_list, split, len(pairs))
    skipped = counts[[*class_list.ignored]].sum() / max(counts.sum(), 1)
    if skipped > MOST:
        logger.warning(
            f"Of the pixels in a sample of the {split} maps {skipped:.1%} are left out: "
            f"{in_words(counts, class_list)}. {ADVICE}"
        )


def check_wrong(errors: Sequence[ValueError], total: int, split: str) -> None:
    """Raise if more than a tenth of a sample are no label maps; log a few.

    Args:
        errors: error of each wrong map.
        total: number of maps in the sample.
        split: "training" or "validation".

    Raises:
        ValueError: more than a tenth are wrong.
    """
    if len(errors) > MOST_WRONG * total:
        more = f" ({len(errors)} of {total} {split} maps that were looked at are wrong)" if len(errors) > 1 else ""
        raise ValueError(f"{errors[0]}{more}")
    if errors:
        text = "%d of %d %s maps that were looked at are left out, first: %s"
        logger.warning(text, len(errors), total, split, errors[0])


def nothing_in(counts: Counts, class_list: ClassList, split: str, number: int) -> ValueError:
    """Error for maps with too few classes.

    Args:
        counts: pixels of each value in all maps.
        class_list: classes of the values.
        split: "training" or "validation".
        number: number of maps.
    """
    what, wanted = {
        "training": ("learn", "at least two classes must occur."),
        "validation": (
            "score",
            "the class of some pixel must be known. Maps of a test are often such placeholders; without others, set "
            "data.val_images and data.val_maps to null to train without validation.",
        ),
    }[split]
    return ValueError(
        f"The {number} {split} maps give nothing to {what}, only {in_words(counts, class_list)}; {wanted} {ADVICE}"
    )


def spread(total: int) -> list[int]:
    """Up to `MAPS` evenly spaced positions, in random order, so that a part of them is spread as well."""
    positions = np.linspace(0, total - 1, min(total, MAPS)).round().astype(int).tolist()
    return random.Random(0).sample(positions, len(positions))


def count(
    pairs: Iterable[Pair],
    class_list: ClassList,
    is_enough: Callable[[Counts], bool],
    wrong: list[ValueError],
) -> Counts:
    """Count the pixels of each value in label maps.

    Args:
        pairs: pairs with the maps.
        class_list: classes of the maps' values.
        is_enough: whether the counts so far suffice, so that no other map is read.
        wrong: list to which the errors of wrong maps are added: no label map, or a value that is no class; unreadable
            maps are skipped.
    """
    counts = np.zeros(LEVELS, np.int64)
    for pair in pairs:
        try:
            values = read_map(pair.map)
            class_list.to_labels(values, pair.map)
            for block in np.array_split(values, values.size // BLOCK + 1):
                counts += np.bincount(block.ravel(), minlength=LEVELS)
        except UnreadableImageError:
            continue
        except ValueError as error:
            wrong.append(error)
        if is_enough(counts):
            break
    return counts


def classes_in(counts: Counts, class_list: ClassList) -> int:
    """Number of classes that occur."""
    return int(np.count_nonzero(counts[[*class_list.values]]))


def in_words(counts: Counts, class_list: ClassList) -> str:
    """Text of the values that occur, with class and number of pixels."""
    names = dict(zip(class_list.values, class_list.names, strict=True))
    found = np.flatnonzero(counts).tolist()
    return ", ".join(f"{value} ({names.get(value, 'left out')}, {counts[value]} pixels)" for value in found)
