"""Videos that a user names, to be predicted."""

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from swinv2.images import SUFFIXES as PICTURES
from video.decoding import SUFFIXES


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


def find_videos(patterns: Sequence[str]) -> list[Path]:
    """The videos that a user names by files, folders and globs, in order and each once.

    Args:
        patterns: a file is taken as it is, and so is a folder of frames; of another folder, the videos in it; a glob
            may have `**`.

    Raises:
        FileNotFoundError: a pattern that matches no video.
    """
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_file() or has_frames(path):
            found.append(path)
            continue
        candidates = path.iterdir() if path.is_dir() else map(Path, glob.glob(pattern, recursive=True))
        videos = sorted(one for one in candidates if is_video(one))
        if not videos:
            raise FileNotFoundError(
                f"No video matches {pattern!r}; give files, folders or globs of {', '.join(SUFFIXES)} videos, or "
                "folders of frames."
            )
        found += videos
    return list(dict.fromkeys(found))


def is_video(path: Path) -> bool:
    """Whether a path is a video file by its name, or a folder of frames."""
    return has_frames(path) if path.is_dir() else path.suffix.lower() in SUFFIXES


def has_frames(path: Path) -> bool:
    """Whether a path is a folder of pictures and no videos."""
    if not path.is_dir():
        return False
    suffixes = {one.suffix.lower() for one in path.iterdir() if not one.name.startswith(".")}
    return not suffixes.isdisjoint(PICTURES) and suffixes.isdisjoint(SUFFIXES)
