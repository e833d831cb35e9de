"""Which videos there are and what they show."""

import logging
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from swinv2.class_names import labels_of, name_classes
from video.decoding import SUFFIXES
from video.files import is_video
from video.list_formats import read_rows

logger = logging.getLogger(__name__)

MOST_MISSING = 0.5  # share of a list; dead links are few, a wrong folder misses nearly all
SHOWN = 3  # names in a message


class VideoItem(NamedTuple):
    """A video and its class.

    Attributes:
        path: the file, or the folder of its frames.
        label: number of its class, from 0.
    """

    path: Path
    label: int


class VideoList(NamedTuple):
    """Videos and what their labels mean.

    Attributes:
        items: those that are there.
        class_names: by label.
        missing: places, below the folder of videos, of those that are listed but not there.
    """

    items: list[VideoItem]
    class_names: list[str]
    missing: list[str]


def read_videos(source: Path, videos: Path, class_names: Sequence[str] = ()) -> VideoList:
    """The videos of a list or of class folders.

    Videos of a list that are not there, as happens with dead links, are left out, and the log counts them.

    Args:
        source: a list in a format of `video.list_formats`, or a folder of one folder a class with its videos in it.
        videos: folder that paths and ids of a list are below.
        class_names: by label; without any, the classes are numbered or sorted by name, as `source` gives them. Give
            those of the training videos for the others, whose list may lack some class.

    Raises:
        FileNotFoundError: no list or folder, or more than half of the videos are missing.
        ValueError: no list, no videos, or a class that is not among `class_names`.
    """
    if source.is_dir():
        return read_class_folders(source, class_names)
    rows = read_rows(source)
    names = [*class_names] or name_classes([row.label for row in rows])
    labels = labels_of([row.label for row in rows], names, source)
    look_into = cache(list_folder)
    items, missing = [], []
    for row in rows:
        path = find(row.places, videos, look_into)
        if path is None:
            missing.append(row.places[0])
        else:
            items.append(VideoItem(path, labels[row.label]))
    report_missing(missing, len(rows), source, videos)
    return VideoList(items, names, missing)


def read_class_folders(folder: Path, class_names: Sequence[str] = ()) -> VideoList:
    """The videos, files or folders of frames, in one folder a class.

    Args:
        folder: what the class folders are in.
        class_names: as in `read_videos`; without any, the names of the folders, sorted.

    Raises:
        FileNotFoundError: no class folders, or no videos in them.
        ValueError: a folder that is no class.
    """
    folders = sorted(entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != ".")
    names = [*class_names] or [entry.name for entry in folders]
    labels = labels_of([entry.name for entry in folders], names, folder)
    items = [
        VideoItem(path, labels[entry.name])
        for entry in folders
        for path in sorted(entry.iterdir())
        if path.name[0] != "." and is_video(path)
    ]
    if not items:
        raise FileNotFoundError(
            f"The folder {folder} has no folders of classes with videos in them; looked for {', '.join(SUFFIXES)} "
            "files and for folders of pictures."
        )
    return VideoList(items, names, [])


def find(places: Sequence[str], videos: Path, look_into: Callable[[Path], dict[str, Path]]) -> Path | None:
    """The first of some places where there is a video.

    Args:
        places: paths below a folder, or whole ones, with or without suffix.
        videos: the folder.
        look_into: content of a folder; asking for each file instead would take long on network disks.
    """
    paths = (videos / place for place in places)
    return next((found for path in paths if (found := look_into(path.parent).get(path.name))), None)


def list_folder(folder: Path) -> dict[str, Path]:
    """What is in a folder by its name, and videos also by their name without suffix; nothing if there is no folder."""
    if not folder.is_dir():
        return {}
    entries = sorted(folder.iterdir())
    stems = {entry.stem: entry for entry in reversed(entries) if entry.suffix.lower() in SUFFIXES}
    return stems | {entry.name: entry for entry in entries}


def report_missing(missing: Sequence[str], total: int, source: Path, videos: Path) -> None:
    """Log which videos are not there.

    Args:
        missing: their places.
        total: number of videos listed.
        source: the list.
        videos: where they were looked for.

    Raises:
        FileNotFoundError: they are too many.
    """
    if not missing:
        return
    first = ", ".join(missing[:SHOWN])
    message = f"{len(missing)} of the {total} videos in {source} are not in {videos}, first {first}"
    if len(missing) > MOST_MISSING * total:
        raise FileNotFoundError(
            f"{message}. Check data.root and the folders of videos; a list of which you have a part only needs "
            "shortening."
        )
    logger.warning("%s; they are left out", message)
