"""Files of a data set that are skipped by their suffixes: logged once, and an error if there are too many."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from .decoding.formats import SUFFIXES

logger = logging.getLogger(__name__)

# Suffixes of files that often lie beside images: notes, annotations, leftovers of systems and programs.
BESIDE = (
    *(".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".ini", ".cfg", ".log", ".db", ".lnk"),
    *(".html", ".htm", ".url", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".py", ".ipynb", ".sh", ".bat", ".m", ".mat"),
    *(".md5", ".sha1", ".sha256", ".tmp", ".bak", ".npz", ".index", ".cls", ".caption", ".xmp", ".aae"),
)
SHOWN = 3  # names and suffixes in a message


def tell_passed_over(folder: Path, others: Sequence[str], images: int) -> None:
    """Log number, share and examples of the files that are no images by their suffix.

    Args:
        folder: that holds all files.
        others: paths below it of the skipped files, one or more.
        images: number of images.
    """
    logger.warning("Passed over %s", in_words(folder, others, images))


def check_passed_over(folder: Path, others: Sequence[str], images: Iterable[str], number: int) -> None:
    """Raise if more pictures are skipped than there are images; log the number of skipped files.

    Notes, annotations and files with the name of an image but another suffix do not count as pictures.

    Args:
        folder: that holds all files.
        others: paths below it of the skipped files.
        images: paths below it of the images.
        number: of images.

    Raises:
        ValueError: more than half of the pictures are skipped.
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
    """Log the number of images or videos that lie in no class folder.

    Args:
        folder: parent of the class folders.
        loose: names of images or videos directly in it.
        number: of images or videos in class folders.
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
    """Number, share, suffixes and examples of the files that are no images, as text."""
    suffixes = Counter(os.path.splitext(name)[1].lower() or "without suffix" for name in others)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(SHOWN))
    total = len(others) + images
    share = f"{len(others)} files of {total} ({len(others) / total:.0%})"
    return f"{share} in {folder} that are no images ({kinds}), first {', '.join(others[:SHOWN])}"
