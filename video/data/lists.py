"""Videos of a data set and their classes."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from swinv2.classification.class_names import check_no_splits, labels_of, name_classes, tell_one_class
from swinv2.imaging.skipped_files import check_loose
from video.data.files import ARCHIVED, below, has_video, part, report_passed_over
from video.data.finding import VideoFinder
from video.data.list_formats import read_rows
from video.readers.suffixes import SUFFIXES

logger = logging.getLogger(__name__)

MOST_MISSING = 0.5  # greatest share of a list; dead links are few, a wrong folder misses nearly all
SHOWN = 3  # names in a message


class VideoItem(NamedTuple):
    """Video and its class.

    Attributes:
        path: the file, or the folder of its frames.
        label: number of its class, from 0.
    """

    path: Path
    label: int


class VideoList(NamedTuple):
    """Videos and their class names.

    Attributes:
        items: videos that exist.
        class_names: names by label.
        missing: paths, below the folder of videos, of listed videos that do not exist.
    """

    items: list[VideoItem]
    class_names: list[str]
    missing: list[str]


def read_videos(source: Path, videos: Path, class_names: Sequence[str] = (), first: int = 0) -> VideoList:
    """Read the videos of a list or of class folders.

    Listed videos that do not exist (dead links) are left out. The log counts them, and also videos that are listed
    twice and classes without videos.

    Args:
        source: a list in a format of `video.data.list_formats`, or a folder with one folder of videos per class.
        videos: folder that paths and ids of a list are relative to.
        class_names: names by label; without any, the numbers or sorted names in `source`. For validation give those of
            training, as its list may lack classes.
        first: number of the first class in a list or in folder names, 0 or 1.

    Raises:
        FileNotFoundError: no list or folder, or more than half of the videos are missing.
        ValueError: no list, no videos, or a class that is not among `class_names`.
    """
    if source.is_dir():
        return read_class_folders(source, class_names, first)
    rows = read_rows(source)
    names = [*class_names] or name_classes([row.label for row in rows])
    labels = labels_of((row.label for row in rows), names, source, first)
    tell_one_class(names, source)
    finder = VideoFinder(videos)
    items, missing = [], []
    for row in rows:
        path = next((found for place in row.places if (found := finder.find(place))), None)
        if path is None:
            missing.append(row.places[0])
        else:
            items.append(VideoItem(path, labels[row.label]))
    report_missing(missing, len(rows), source, videos)
    report_repeated(items, source)
    report_lost_classes(items, names, labels.values(), source)
    return VideoList(items, names, missing)


def class_folders(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the class folders, sorted, and of other folders, which have no videos.

    Args:
        folder: folder that contains them; hidden ones are left out.

    Raises:
        ValueError: a name that is not UTF-8, or folders of training and validation.
    """
    entries = sorted(entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != ".")
    found = {entry.name: entry.name != ARCHIVED and has_video(entry) for entry in entries}
    if unnamed := [name for name in found if any("\ud800" <= letter <= "\udfff" for letter in name)]:
        raise ValueError(f"The name of the folder {unnamed[0]!a} in {folder} is not UTF-8; rename it.")
    check_no_splits([name for name in found if found[name]], folder)
    return [name for name in found if found[name]], [name for name in found if not found[name]]


def read_class_folders(folder: Path, class_names: Sequence[str] = (), first: int = 0) -> VideoList:
    """Read the videos (files and folders of frames) at any depth in one folder per class.

    The log names folders without videos, which are no classes, and files that are no videos.

    Args:
        folder: folder that contains the class folders.
        class_names: as in `read_videos`; without any, the names of the folders, sorted.
        first: number of the first class, if folders are named by numbers.

    Raises:
        FileNotFoundError: no class folders, or no videos in them.
        ValueError: a folder that is no class, or more videos outside of class folders than inside.
    """
    folders, others = class_folders(folder)
    names = [*class_names] or folders
    labels = labels_of(folders, names, folder, first)
    tell_one_class(names, folder)
    items, beside = [], [entry for entry in folder.iterdir() if entry.is_file() and entry.name[0] != "."]
    loose, strays = part(sorted(beside))
    for name in (*folders, *others):
        found, passed_over = part(sorted(below(folder / name)) if name != ARCHIVED else [])
        items += [VideoItem(path, labels[name]) for path in found]
        strays += passed_over
    report_passed_over(strays, len(items), folder)
    if not items:
        flat = f" It has {len(loose)} videos itself; move each into the folder of its class." if loose else ""
        raise FileNotFoundError(
            f"The folder {folder} has no folders of classes with videos in them; looked for {', '.join(SUFFIXES)} "
            f"files and for folders of pictures.{flat}"
        )
    check_loose(folder, [path.name for path in loose], len(items), "videos")
    if others:
        text = "%d folders in %s have no videos and are no classes: %s"
        logger.warning(text, len(others), folder, in_short(others))
    return VideoList(items, names, [])


def report_missing(missing: Sequence[str], total: int, source: Path, videos: Path) -> None:
    """Log missing videos.

    Args:
        missing: their paths.
        total: number of videos listed.
        source: the list.
        videos: the folder that was searched.

    Raises:
        FileNotFoundError: more than half of the list is missing.
    """
    if not missing:
        return
    message = f"{len(missing)} of the {total} videos in {source} are not in {videos}, first {in_short(missing)}"
    if len(missing) > MOST_MISSING * total:
        raise FileNotFoundError(
            f"{message}. Check data.root and the folders of videos; a list of which you have a part only needs "
            "shortening."
        )
    logger.warning("%s; they are left out", message)


def report_repeated(items: Sequence[VideoItem], source: Path) -> None:
    """Log the videos that are listed more than once, and how many of them with several classes.

    Args:
        items: the videos.
        source: the list.
    """
    repeated = [path for path, count in Counter(item.path for item in items).items() if count > 1]
    if repeated:
        paths = {*repeated}
        several = Counter(path for path, _ in {item for item in items if item.path in paths})
        torn = [path for path, count in several.items() if count > 1]
        text = "%d videos are in %s more than once, %d of them with several classes, first %s"
        logger.warning(text, len(repeated), source, len(torn), in_short(torn or repeated))


def report_lost_classes(items: Sequence[VideoItem], names: Sequence[str], listed: Iterable[int], source: Path) -> None:
    """Log the listed classes without any existing video.

    Args:
        items: videos that exist.
        names: names of the classes.
        listed: labels in the list.
        source: the list.
    """
    lost = [names[label] for label in sorted({*listed} - {item.label for item in items})]
    if lost:
        logger.warning("No video is there of %d classes in %s: %s", len(lost), source, in_short(lost))


def in_short(names: Iterable[object]) -> str:
    """Text of the first of some names."""
    every = [*map(str, names)]
    return ", ".join(every[:SHOWN]) + (", …" if len(every) > SHOWN else "")
