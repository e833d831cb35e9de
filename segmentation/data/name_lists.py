"""Lists of the images to use: text files of names, of paths, or of images and maps in columns."""

import csv
import logging
import re
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path

from swinv2.files.text_lines import Line, lines_of, read_text
from swinv2.files.text_tables import check_one_split, plain, unquoted

logger = logging.getLogger(__name__)

DELIMITERS = ("\t", ",", ";", "|", " ")
IMAGES = (
    *("image", "images", "img", "imgs", "imagepath", "imagefile", "imagename", "imageid", "imgpath", "file", "files"),
    *("filename", "filenames", "filepath", "path", "paths", "name", "names", "id", "stem", "input"),
)
MAPS = (
    *("mask", "masks", "maskpath", "maskfile", "label", "labels", "labelpath", "map", "maps", "annotation", "gt"),
    *("annotations", "segmentation", "seg", "target", "groundtruth", "annotationpath", "output"),
)
WINDOWS = re.compile("[A-Za-z]:")  # beginning of absolute paths on Windows
ADVICE = "A list has the names of the images, one a line, by their paths below their folder without suffix."


class Names:
    """Names by which a line of a list may refer to an image.

    Args:
        known: names of images and maps, see `composed`.
        folders: folders of images and maps, with which a path may begin.
        suffixes: suffixes of images and maps, with which a name may end.
    """

    def __init__(self, known: Collection[str], folders: Sequence[Path], suffixes: Sequence[str]) -> None:
        self.known = known
        self.folders = [composed(str(path)).split("/") for one in folders for path in (one.absolute(), one.resolve())]
        stems = [suffix.rpartition(".")[0] for suffix in suffixes]
        self.suffixes = sorted({suffix.lower() for suffix in (*suffixes, *stems) if suffix}, key=len, reverse=True)

    def find(self, text: str) -> str | None:
        """The known name that a text refers to; None for none or several."""
        text = composed(unquoted(text))
        for path in dict.fromkeys((text, text.replace("\\", "/"))):
            parts = [part for at, part in enumerate(path.split("/")) if part not in ("", ".") or not at]
            found = self._below("/".join(parts).removeprefix("./"))
            ends = [parts[at:] for at in range(1, len(parts)) if self._is_folder(parts[:at])]
            within = {name for end in ends if (name := self._below("/".join(end)))}
            if found or within:
                return found or (within.pop() if len(within) == 1 else None)
        return None

    def _below(self, path: str) -> str | None:
        """The known name of a path below the folder, with or without suffix."""
        ways = [path, *(path[: -len(suffix)] for suffix in self.suffixes if path.lower().endswith(suffix))]
        return next((name for name in ways if name in self.known), None)

    def _is_folder(self, parts: Sequence[str]) -> bool:
        """Whether a path is the end of a folder's path, or an absolute one with the name of a folder."""
        if not parts[0] or WINDOWS.fullmatch(parts[0]):
            return any(parts[-1] == folder[-1] for folder in self.folders)
        up = next((at for at, part in enumerate(parts) if part not in ("..", ".")), len(parts))
        end = list(parts[up:])
        return bool(end) and any(folder[-len(end) :] == end for folder in self.folders)


def read_names(listed: Path, names: Names) -> dict[str, Line]:
    """Read the names of pairs in a text file, each once, with its line; for an unknown name the line itself.

    Args:
        listed: the file.
        names: names of the files that exist.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no text or empty, or a line is ambiguous.
    """
    if not listed.is_file():
        raise FileNotFoundError(f"There is no list {listed}; check data.root, data.train_list and data.val_list.")
    text = read_text(listed, ADVICE)
    try:
        lines = lines_of(text)
        rows = [cells_of(line.text, names) for line in lines]
        if rows and (columns := columns_of(rows, names)) is not None:
            lines, rows = lines[1:], [[row[at] for at in columns if at < len(row)] for row in rows[1:]]
        found: dict[str, Line] = {}
        again = []
        for line, row in zip(lines, rows, strict=True):
            name = name_in(row, line, names)
            again += [line] if name in found else []
            found.setdefault(name, line)
    except ValueError as error:
        raise ValueError(f"{listed}: {error} {ADVICE}") from error
    if not found:
        raise ValueError(f"The list {listed} is empty; write the names of the images in it, one a line without suffix.")
    if again:
        logger.warning("Passed over %d lines of %s that name an image again, first %s", len(again), listed, again[0])
    return found


def cells_of(text: str, names: Names) -> list[str]:
    """Columns of a line, split by the delimiter that gives known names, or else the first; names may contain any."""
    if names.find(text) is not None:
        return [text]
    ways = [text.split() if one == " " else next(csv.reader([text], delimiter=one), []) for one in DELIMITERS]
    ways = [[cell.strip() for cell in cells] for cells in ways if len(cells) > 1]
    return next((cells for cells in ways if all(map(names.find, cells))), next(iter(ways), [text]))


def columns_of(rows: Sequence[Sequence[str]], names: Names) -> list[int] | None:
    """Positions of the columns of images and maps if the first row has headings, else None.

    Raises:
        ValueError: the rows belong to several splits.
    """
    words = [plain(cell) for cell in rows[0]]
    columns = [at for at, word in enumerate(words) if word in (*IMAGES, *MAPS)]
    if not any(words[at] in IMAGES for at in columns) or all(names.find(cell) for cell in rows[0]):
        return None
    for at, word in enumerate(rows[0]):
        check_one_split(word, {row[at] for row in rows[1:] if at < len(row)})
    return columns


def name_in(row: Sequence[str], line: Line, names: Names) -> str:
    """The name that the columns of a line refer to, or the line itself if it is unknown.

    Raises:
        ValueError: columns refer to different names, or only some to a known name.
    """
    found = [names.find(cell) for cell in row]
    if not any(found):
        return line.text
    if None in found:
        unknown = row[found.index(None)]
        raise ValueError(
            f"In {line}, {unknown!r:.60} is neither image nor map; take such columns out, or name the columns by a "
            "first line, e.g. 'image,mask,other'."
        )
    if len({*found}) > 1:
        raise ValueError(
            f"In {line}, the columns name {' and '.join(map(repr, found))}; an image and its map have the same path "
            "but for the suffix."
        )
    return found[0] or line.text


def composed(text: str) -> str:
    """Name in Unicode's composed form; macOS writes accents decomposed."""
    return unicodedata.normalize("NFC", text)
