"""Videos in folders, and those that a user names to be predicted."""

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
    """Videos to predict, not opened: `video_id`, `path` and `name` of each; an id is the position, from 1.

    A name is that of the file without suffix, after the id where two have the same.

    Args:
        paths: files, and folders of frames.
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
    """The videos that a user names by files, folders and globs, in order and each once.

    The log tells what is passed over because its name is not that of a video.

    Args:
        patterns: a file is taken as it is, and so is a folder of frames; of another folder, the videos in it and its
            subfolders; a glob may have `**`.
        results: folders that are not looked into where they lie below others, as results of earlier predictions are.

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
    """A path, or what is below it, sorted: the videos, which are files or folders of frames, and other files.

    Args:
        path: a file, a folder, or what is none of both.
        skipped: real paths of folders that are not looked into.
    """
    if not path.is_dir() or has_frames(path):
        return part([path])
    here = os.path.realpath(path)  # which may be one of them, if it is asked for
    return part(sorted(below(path, [folder for folder in skipped if folder != here])))


def part(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Videos, which are files by their suffix or folders, and other files."""
    videos = {path: None for path in paths if path.suffix.lower() in SUFFIXES or path.is_dir()}
    return [*videos], [path for path in paths if path not in videos]


def below(folder: Path, above: Sequence[str] = ()) -> Iterator[Path]:
    """Files and folders of frames at any depth below a folder, in no order; hidden ones do not count.

    Nor do folders of optical flow, masks, thumbnails and the like, by their names, beside others; the log tells.

    Args:
        folder: where to look.
        above: real paths of the folders that it was reached through, to which links may lead back, and of others that
            are not looked into.
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
    """How many videos there are, and of which suffixes."""
    suffixes = Counter("folders of frames" if one.is_dir() else one.suffix.lower() for one in videos)
    return f"{len(videos)} videos ({', '.join(f'{count} {suffix}' for suffix, count in suffixes.most_common())})"


def has_video(folder: Path) -> bool:
    """Whether there is a video at any depth below a folder."""
    return any(path.suffix.lower() in SUFFIXES or path.is_dir() for path in below(folder))


def has_frames(path: Path) -> bool:
    """Whether a path is a folder of pictures and no videos; a few pictures beside folders do not make it one."""
    entries = visible(path) if path.is_dir() else []
    suffixes = {Path(entry.name).suffix.lower() for entry in entries}
    pictures = [entry.name for entry in entries if is_frame(entry.name)]
    if not pictures or not suffixes.isdisjoint({*SUFFIXES} - {*LOOPING}):
        return False
    return not any(entry.is_dir() for entry in entries) or len({*map(kind_of, pictures)}) < len(pictures)


def report_passed_over(others: Sequence[Path], videos: int, where: object) -> None:
    """Log which files are no videos by their names, and how many.

    Args:
        others: these files.
        videos: how many videos there are beside them.
        where: they were found.
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
