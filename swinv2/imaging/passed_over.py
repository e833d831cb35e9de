"""Files of a data set that are passed over by their suffixes: counted and named once, and too many are an error."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from .decoding.formats import SUFFIXES

logger = logging.getLogger(__name__)

# Suffixes of what lies beside images: notes, annotations, leftovers of systems and programs.
BESIDE = (
    *(".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".ini", ".cfg", ".log", ".db", ".lnk"),
    *(".html", ".htm", ".url", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".py", ".ipynb", ".sh", ".bat", ".m", ".mat"),
    *(".md5", ".sha1", ".sha256", ".tmp", ".bak", ".npz", ".index", ".cls", ".caption", ".xmp", ".aae"),
)
SHOWN = 3  # names and suffixes in a message


def tell_passed_over(folder: Path, others: Sequence[str], images: int) -> None:
    """Log how many files are no images by their suffix, of how many, and which.

    Args:
        folder: that all are below.
        others: paths below it of the files that are passed over, one or more.
        images: number of the files that are not.
    """
    logger.warning("Passed over %s", in_words(folder, others, images))


def check_passed_over(folder: Path, others: Sequence[str], images: Iterable[str], number: int) -> None:
    """See that no more pictures are passed over than there are images, and log how many files are.

    Files of notes, and those that have the name of an image but for the suffix, are no pictures.

    Args:
        folder: that all are below.
        others: paths below it of the files that are passed over.
        images: likewise of the images.
        number: of the images.

    Raises:
        ValueError: more than half of the pictures are passed over.
    """
    pictures = [name for name in others if not name.lower().endswith(BESIDE)]
    if len(pictures) > number:
        stems = {os.path.splitext(name)[0] for name in images}
        pictures = [name for name in pictures if os.path.splitext(name)[0] not in stems]
    if len(pictures) > number:
        raise ValueError(
            f"More than half of the pictures would be passed over: {in_words(folder, pictures, number)}. Convert "
            f"these, or move them away; images end in {', '.join(SUFFIXES)}."
        )
    if others:
        tell_passed_over(folder, others, number)


def check_loose(folder: Path, loose: Sequence[str], number: int, what: str) -> None:
    """Log how many images or videos lie beside the folders of classes, and so are of no class.

    Args:
        folder: that the folders of classes are in.
        loose: names of what lies beside them.
        number: of the images or videos in folders.
        what: "images" or "videos".

    Raises:
        ValueError: more lie beside the folders than in them.
    """
    if not loose:
        return
    share = f"{len(loose)} of {len(loose) + number} {what} in {folder} are in no folder of a class"
    message = f"{share}, first {', '.join(loose[:SHOWN])}"
    if len(loose) > number:
        raise ValueError(f"{message}. Move each into the folder of its class.")
    logger.warning("%s; they are passed over", message)


def in_words(folder: Path, others: Sequence[str], images: int) -> str:
    """How many files are no images by their suffix, of how many, and which."""
    suffixes = Counter(os.path.splitext(name)[1].lower() or "without suffix" for name in others)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(SHOWN))
    total = len(others) + images
    share = f"{len(others)} files of {total} ({len(others) / total:.0%})"
    return f"{share} in {folder} that are no images ({kinds}), first {', '.join(others[:SHOWN])}"
