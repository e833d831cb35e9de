"""Selection of the frames of a video among the pictures in a folder, by their names."""

import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from video.readers.reader import UnreadableVideoError

Kinds = dict[str, list[str]]  # names of pictures by their kind

logger = logging.getLogger(__name__)

SIGNS = "[-._:, T]"  # between the numbers of a time or date
NUMBER = re.compile(rf"(?:(?<![^\W_])\d+{SIGNS}(?:\d+{SIGNS})*)?\d+(?=\D*$)")  # the last one, or a time or date
LIKE_JPG = {".jpeg": ".jpg", ".tiff": ".tif"}
FEW = 4  # if less than one picture in four is in a series, there are no series
SHOWN = 3  # kinds in a message
BESIDE_FRAMES = {  # words in the names of pictures derived from frames, and of thumbnails
    *("flow", "flowx", "flowy", "optical", "x", "y", "u", "v", "warp", "mask", "masks", "matte", "seg", "segm", "gt"),
    *("segmentation", "instance", "semantic", "label", "labels", "anno", "annotation", "annotations", "depth", "disp"),
    *("disparity", "normal", "normals", "heatmap", "pose", "skeleton", "saliency", "edge", "edges"),
    *("thumb", "thumbs", "thumbnail", "thumbnails", "cover", "folder", "poster", "preview", "ids", "trainids"),
}
ONE = "|".join(sorted((word for word in BESIDE_FRAMES if len(word) > 1), key=len, reverse=True))
FOLDER = re.compile(
    rf"(?:(?:tvl1|rgb|images?|frames?|maps?)[-_ ]?)?(?:{ONE})(?:[-_ ]?(?:{ONE}|tvl1|images?|frames?|maps?|[xyuv]))?"
)
USUAL = {"img", "image", "frame", "frames", "rgb", "color", "colour", "video"}  # words in the names of any pictures


def select_frames(folder: Path, names: Sequence[str]) -> list[str]:
    """Select the frames among pictures, in the order of the numbers in their names: img_2.jpg before img_10.jpg.

    Frames are of one kind: the same name except for the number. Pictures with a word for optical flow, masks, depth,
    thumbnails and the like in their name, and single pictures of a kind, are skipped if there are others, and logged.

    Args:
        folder: folder of the pictures, for messages.
        names: names of all pictures in it, 1 or more.

    Raises:
        UnreadableVideoError: there are several kinds, and names do not tell which are the frames.
    """
    kinds = defaultdict(list)
    for name in names:
        kinds[kind_of(name)].append(name)
    series = {kind: found for kind, found in kinds.items() if len(found) > 1}
    if FEW * sum(map(len, series.values())) < len(names):
        series = {}  # most names are not numbered but, for example, digests
    chosen = without_others(series or kinds)
    if (series and len({kind.rpartition(".")[0] for kind in chosen}) > 1) or has_number_twice(chosen):
        raise ambiguous(folder, chosen)
    passed_over = [kind if kind in series else kinds[kind][0] for kind in kinds if kind not in chosen]
    if passed_over:
        tell_passed_over(", ".join(sorted(passed_over)[:SHOWN]))
    return sorted((name for found in chosen.values() for name in found), key=by_number)


def without_others(kinds: Kinds) -> Kinds:
    """Kinds of pictures that may be frames; all, if by their words none are.

    A kind is dropped if it has a word for data derived from frames, and no further words that the other kinds lack.
    """
    common = set.intersection(*map(words, kinds))
    frames = [kind for kind in kinds if not (words(kind) - common) & BESIDE_FRAMES]
    usual = common.union(BESIDE_FRAMES, USUAL, *map(words, frames))
    chosen = {kind: names for kind, names in kinds.items() if kind in frames or not words(kind) <= usual}
    return chosen or kinds


def made_of_frames(names: Sequence[str]) -> list[str]:
    """Folders of data derived from frames, such as optical flow, which are no videos; none if all would be.

    Args:
        names: names of folders and of the videos beside them.
    """
    pairs = {one for pair in ({"u", "v"}, {"x", "y"}) if pair <= {*names} for one in pair}
    found = [name for name in names if name in pairs or FOLDER.fullmatch(name.lower())]
    return found if len(found) < len(names) else []


def kind_of(name: str) -> str:
    """Kind of a picture: its name with # for the number."""
    stem, dot, suffix = name.rpartition(".")
    suffix = dot + suffix.lower()
    return NUMBER.sub("#", stem, count=1) + LIKE_JPG.get(suffix, suffix)


def words(kind: str) -> set[str]:
    """Words in the name of a kind, without suffix, in lower case; capitals begin a word."""
    stem = kind.rpartition(".")[0]
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_a-zA-Z]+", stem)}


def has_number_twice(kinds: Kinds) -> bool:
    """Whether pictures that only differ in their suffix have the same number."""
    stems = [Path(name).stem for names in kinds.values() for name in names]
    return len({*stems}) < len(stems)


def ambiguous(folder: Path, kinds: Kinds) -> UnreadableVideoError:
    """Error for a folder with several kinds that may be the frames."""
    most = sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0]))
    told = " and ".join(f"{len(names)} like {min(names)} ({kind})" for kind, names in most[:2])
    return UnreadableVideoError(
        f"The folder {folder} has {len(kinds)} kinds of pictures, {told}; their names do not tell which are the "
        "frames. Move the others to another folder."
    )


@cache
def tell_passed_over(kinds: str) -> None:
    """Log, once in a process, pictures that are no frames."""
    logger.warning("Pictures beside frames that are none by their names are passed over, such as %s", kinds)


def by_number(name: str) -> list[str | int]:
    """Sort key that compares numbers in names by value."""
    return [int(part) if part.isdecimal() else part for part in re.split("([0-9]+)", name)]
