"""Search for videos in folders, and for those to predict."""

import glob
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from swinv2.imaging.finding import visible
from video.readers.frame_folder import is_frame
from video.readers.frame_names import kind_of, made_of_frames, tell_passed_over
from video.readers.suffixes import LOOPING, SUFFIXES

logger = logging.getLogger(__name__)

ARCHIVED = "__MACOSX"  # folder that macOS puts into archives: copies of names without data
SHOWN = 3  # names in a message


class VideoFiles(Dataset[dict[str, Any]]):
    """Videos to predict, not opened: `video_id`, `path` and `name` of each; the id is the position, from 1.

    A name is that of the file without suffix; if two are equal, all are preceded by the id.

    Args:
        paths: paths of files and of folders of frames.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        stems = [path.stem for path in paths]
        unique = len({*stems}) == len(stems)
        self.names = stems if unique else [f"{index}_{stem}" for index, stem in enumerate(stems, start=1)]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"video_id": index + 1, "path": self.paths[index], "name": self.names[index]}


def find_videos(patterns: Sequence[str], results: Sequence[Path] = ()) -> list[Path]:
    """Find the videos that files, folders and globs name, in order and each once.

    Files that are no videos by their names are skipped, and the log counts them.

    Args:
        patterns: files and folders of frames, taken as they are; other folders, whose videos at any depth are taken;
            and globs, also with `**`.
        results: folders to skip below others, such as results of earlier predictions.

    Raises:
        FileNotFoundError: a pattern that matches no video.
    """
    found: dict[Path, None] = {}
    skipped = [os.path.realpath(folder) for folder in results]
    for pattern in patterns:
        path = Path(pattern)
        if path.is_file():
            videos, others = [path], list[Path]()
        else:
            matches = [path] if path.is_dir() else sorted(map(Path, glob.glob(pattern, recursive=True)))
            sorts = [video_sorts(match, skipped) for match in matches]
            videos, others = ([one for sort in sorts for one in sort[which]] for which in (0, 1))
        report_passed_over(others, len(videos), pattern)
        if not videos:
            raise FileNotFoundError(
                f"No video matches {pattern!r}; give files, folders or globs of {', '.join(SUFFIXES)} videos, or "
                "folders of frames."
            )
        found |= dict.fromkeys(videos)
    return [*found]


def video_sorts(path: Path, skipped: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Split a path, or the files below it, into videos (files and folders of frames) and other files.

    Args:
        path: a file, a folder, or a missing path.
        skipped: real paths of folders to skip.
    """
    if not path.is_dir() or has_frames(path):
        return part([path])
    here = os.path.realpath(path)  # not skipped if it is the given path itself
    return part(sorted(below(path, [folder for folder in skipped if folder != here])))


def part(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Split paths into videos (files by their suffix, and folders) and other files."""
    videos = {path: None for path in paths if path.suffix.lower() in SUFFIXES or path.is_dir()}
    return [*videos], [path for path in paths if path not in videos]


def below(folder: Path, above: Sequence[str] = ()) -> Iterator[Path]:
    """Files and folders of frames at any depth below a folder, unordered; hidden ones are skipped.

    Folders named after optical flow, masks, thumbnails and the like are skipped beside others, and logged.

    Args:
        folder: folder to search.
        above: real paths of folders to skip: those that it was reached through, as links may form a circle, and others.
    """
    here = os.path.realpath(folder)
    entries = visible(folder) if here not in above else []
    beside = made_of_frames([entry.name for entry in entries if entry.is_dir() or is_video(entry.name)])
    if beside:
        tell_passed_over(f"the folder {beside[0]}")
    for entry in entries:
        path = Path(folder, entry.name)
        if entry.name in beside:
            continue
        if not entry.is_dir() or has_frames(path):
            yield path
        elif entry.name != ARCHIVED:
            yield from below(path, (*above, here))


def is_video(name: str) -> bool:
    """Whether a file is a video by its suffix."""
    return name.lower().endswith(SUFFIXES)


def in_words(videos: Sequence[Path]) -> str:
    """Text of the number of videos, in total and by suffix."""
    suffixes = Counter("folders of frames" if one.is_dir() else one.suffix.lower() for one in videos)
    return f"{len(videos)} videos ({', '.join(f'{count} {suffix}' for suffix, count in suffixes.most_common())})"


def has_video(folder: Path) -> bool:
    """Whether there is a video at any depth below a folder."""
    return any(path.suffix.lower() in SUFFIXES or path.is_dir() for path in below(folder))


def has_frames(path: Path) -> bool:
    """Whether a path is a folder of frames: pictures without videos; with subfolders, only if some are numbered."""
    entries = visible(path) if path.is_dir() else []
    suffixes = {Path(entry.name).suffix.lower() for entry in entries}
    pictures = [entry.name for entry in entries if is_frame(entry.name)]
    if not pictures or not suffixes.isdisjoint({*SUFFIXES} - {*LOOPING}):
        return False
    return not any(entry.is_dir() for entry in entries) or len({*map(kind_of, pictures)}) < len(pictures)


def report_passed_over(others: Sequence[Path], videos: int, where: object) -> None:
    """Log the files that are no videos by their names, with their number.

    Args:
        others: these files.
        videos: number of videos beside them.
        where: place where they were found.
    """
    if not others:
        return
    total = len(others) + videos
    suffixes = Counter(one.suffix.lower() or "without suffix" for one in others)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(SHOWN))
    share = f"{len(others)} of {total} files ({len(others) / total:.0%})"
    logger.warning(
        "Passed over %s in %s that are no videos by their names (%s), first %s", share, where, kinds, others[0]
    )
