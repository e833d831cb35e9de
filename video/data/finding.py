"""Search for the files that a list of videos names."""

import unicodedata
from pathlib import Path, PurePath, PurePosixPath

from swinv2.files.paths import Finder
from video.readers.suffixes import SUFFIXES


class VideoFinder:
    """Find videos by the names in a list, with or without suffix, in upper or lower case; otherwise as `Finder`.

    Args:
        folder: folder that names are relative to; absolute paths are taken as they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._finder = Finder(folder)
        self._videos: dict[Path, dict[str, Path]] = {}

    def find(self, place: str) -> Path | None:
        """Find the video of a name; None if there is none."""
        if found := self._finder.find(place):
            return found
        name = PurePosixPath(place.replace("\\", "/"))
        parent = self.folder if name.parent == PurePosixPath(".") else self._finder.find(str(name.parent))
        return None if parent is None else self._listing(parent).get(composed(lowered(name)))

    def _listing(self, folder: Path) -> dict[str, Path]:
        """Videos in a folder by name without suffix, and by name with the suffix in lower case."""
        if folder not in self._videos:
            try:
                files = sorted(folder.iterdir(), reverse=True)
            except OSError:  # no folder, or one without permission
                files = []
            videos = [file for file in files if file.suffix.lower() in SUFFIXES]
            stems = {composed(file.stem): file for file in videos}
            self._videos[folder] = stems | {composed(lowered(file)): file for file in videos}
        return self._videos[folder]


def lowered(path: PurePath) -> str:
    """Name of a path, with the suffix in lower case if it is that of a video."""
    suffix = path.suffix.lower()
    return path.stem + suffix if suffix in SUFFIXES else path.name


def composed(name: str) -> str:
    """Name in Unicode's composed form."""
    return unicodedata.normalize("NFC", name)
