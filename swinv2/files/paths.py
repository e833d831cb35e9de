"""Search for files by the names in a data set, and safe file names made of such names."""

import hashlib
import os
import re
import unicodedata
from pathlib import Path

LONGEST = 180  # bytes of a part of a path; file systems allow 255, and suffixes are added
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")  # in parts of paths


def locate(root: Path, name: str) -> Path:
    """Path `root / name`, or `name` alone if only that is a file."""
    below, alone = root / name, Path(name)
    return alone if alone.is_file() and not below.is_file() else below


class Finder:
    """Finds files below a folder by their names in a list or an annotation file.

    If a name does not exist as written, it is tried with / in place of the backslashes of Windows, and with accents in
    the other form of Unicode (macOS writes them decomposed). Each folder is listed only once.

    Args:
        folder: that names are relative to; absolute names are taken as they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listings: dict[Path, dict[str, str]] = {}

    def find(self, name: str) -> Path | None:
        """File or folder of a name; None if there is none."""
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
        """Entries of a folder by name, and by name in Unicode's composed form (NFC)."""
        if folder not in self._listings:
            try:
                entries = os.listdir(folder)
            except OSError:  # no folder, or not readable
                entries = []
            composed = {unicodedata.normalize("NFC", entry): entry for entry in entries}
            self._listings[folder] = composed | {entry: entry for entry in entries}
        return self._listings[folder]


def safe_name(name: str) -> str:
    """Safe name for an output file, made of a name in data: it stays below its folder, and is not too long.

    Parts between slashes are kept. A changed part gets some digits of a digest, so that names stay different.

    Args:
        name: parts with slashes between them, e.g. "pictures/000000000139.png".
    """
    return "/".join(map(safe_part, filter(None, name.split("/"))))


def safe_part(part: str) -> str:
    """Safe form of one part of a path, see `safe_name`; the suffix stays."""
    stem, dot, suffix = part.rpartition(".")
    encoded = os.fsencode(part)
    if len(encoded) <= LONGEST and not FORBIDDEN.search(part) and not set(part) <= {"."}:
        return part
    stem, suffix = (stem, dot + suffix) if stem and len(suffix) < 8 else (part, "")
    short = os.fsencode(FORBIDDEN.sub("_", stem))[: LONGEST // 2].decode("utf-8", "ignore").strip(". ") or "_"
    return f"{short}_{hashlib.sha256(encoded).hexdigest()[:8]}{FORBIDDEN.sub('_', suffix)}"
