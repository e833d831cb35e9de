"""Where the files of a data set are, and names of files that are made of its names."""

import hashlib
import os
import re
import unicodedata
from pathlib import Path

LONGEST = 180  # bytes of a part of a name; file systems take 255, and suffixes are added
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")  # in parts of names


def locate(root: Path, name: str) -> Path:
    """`root / name` if that is a file, else `name` by itself."""
    below, alone = root / name, Path(name)
    return alone if alone.is_file() and not below.is_file() else below


class Finder:
    """Finds files below a folder by the names that a list or an annotation file gives them.

    A name that is not there as it is written is looked for with / in place of the backslashes of Windows, and with its
    accents in the other form of Unicode (macOS writes them decomposed). Each folder is listed once.

    Args:
        folder: names are paths below it; an absolute one is taken as it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listings: dict[Path, dict[str, str]] = {}

    def find(self, name: str) -> Path | None:
        """The file or folder of a name; None if there is none."""
        if "\0" in name or not name.strip():
            return None
        found = self._walk(name)
        return self._walk(name.replace("\\", "/")) if found is None and "\\" in name else found

    def _walk(self, name: str) -> Path | None:
        path = Path("/") if name.startswith("/") else self.folder
        for part in Path(name).parts:
            if part in (path.anchor, ".."):
                path = path / part
                continue
            listing = self._listing(path)
            entry = listing.get(part) or listing.get(unicodedata.normalize("NFC", part))
            if entry is None:
                return None
            path = path / entry
        return path

    def _listing(self, folder: Path) -> dict[str, str]:
        """Entries of a folder by their names, and by these in Unicode's composed form."""
        if folder not in self._listings:
            try:
                entries = os.listdir(folder)
            except OSError:  # no folder, or a closed one
                entries = []
            composed = {unicodedata.normalize("NFC", entry): entry for entry in entries}
            self._listings[folder] = composed | {entry: entry for entry in entries}
        return self._listings[folder]


def safe_name(name: str) -> str:
    """The name of a file to write that is made of what data says: it leads nowhere else, and is not too long.

    Parts between slashes stay. What is changed in a part is told apart by some letters of a digest.

    Args:
        name: parts with slashes between them, e.g. "pictures/000000000139.png".
    """
    return "/".join(map(safe_part, filter(None, name.split("/"))))


def safe_part(part: str) -> str:
    """A part of a name, likewise; the suffix stays."""
    stem, dot, suffix = part.rpartition(".")
    encoded = os.fsencode(part)
    if len(encoded) <= LONGEST and not FORBIDDEN.search(part) and not set(part) <= {"."}:
        return part
    stem, suffix = (stem, dot + suffix) if stem and len(suffix) < 8 else (part, "")
    short = os.fsencode(FORBIDDEN.sub("_", stem))[: LONGEST // 2].decode("utf-8", "ignore").strip(". ") or "_"
    return f"{short}_{hashlib.sha256(encoded).hexdigest()[:8]}{FORBIDDEN.sub('_', suffix)}"
