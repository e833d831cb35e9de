"""Which pictures in a folder are the frames of a video, by their names; what lies beside them is passed over."""

import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from video.readers.reader import UnreadableVideoError

Kinds = dict[str, list[str]]  # names of pictures by their kind

logger = logging.getLogger(__name__)

SIGNS = "[-._:, T]"  # that part the numbers of a time or date
NUMBER = re.compile(rf"(?:(?<![^\W_])\d+{SIGNS}(?:\d+{SIGNS})*)?\d+(?=\D*$)")  # the last one, a whole time or date too
LIKE_JPG = {".jpeg": ".jpg", ".tiff": ".tif"}
FEW = 4  # pictures for one in a series, of which most are no series
SHOWN = 3  # kinds in a message
BESIDE_FRAMES = {  # words in the names of what is made of frames, and of pictures for file managers
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
    """The frames among pictures, by the numbers in their names: img_2.jpg before img_10.jpg.

    Frames are those of one kind: the same name but for the number. What has a word for optical flow, masks, depth,
    thumbnails and the like in its name, and pictures that are the only one of their kind, are none where there are
    others; the log tells.

    Args:
        folder: of the pictures, for messages.
        names: of all pictures in it, 1 or more.

    Raises:
        UnreadableVideoError: there are two kinds, and names do not tell which are the frames.
    """
    kinds = defaultdict(list)
    for name in names:
        kinds[kind_of(name)].append(name)
    series = {kind: found for kind, found in kinds.items() if len(found) > 1}
    if FEW * sum(map(len, series.values())) < len(names):
        series = {}  # most names are not numbered, but e.g. digests
    chosen = without_others(series or kinds)
    if (series and len({kind.rpartition(".")[0] for kind in chosen}) > 1) or has_number_twice(chosen):
        raise ambiguous(folder, chosen)
    passed_over = [kind if kind in series else kinds[kind][0] for kind in kinds if kind not in chosen]
    if passed_over:
        tell_passed_over(", ".join(sorted(passed_over)[:SHOWN]))
    return sorted((name for found in chosen.values() for name in found), key=by_number)


def without_others(kinds: Kinds) -> Kinds:
    """The kinds of pictures that may be frames: all, if by their words none are.

    No frames are those that have a word for what is made of frames, and else no words but those of the others.
    """
    common = set.intersection(*map(words, kinds))
    frames = [kind for kind in kinds if not (words(kind) - common) & BESIDE_FRAMES]
    usual = common.union(BESIDE_FRAMES, USUAL, *map(words, frames))
    chosen = {kind: names for kind, names in kinds.items() if kind in frames or not words(kind) <= usual}
    return chosen or kinds


def made_of_frames(names: Sequence[str]) -> list[str]:
    """Which folders are of what is made of frames, such as optical flow, and thus no videos; none if all would be.

    Args:
        names: of folders and of the videos beside them.
    """
    pairs = {one for pair in ({"u", "v"}, {"x", "y"}) if pair <= {*names} for one in pair}
    found = [name for name in names if name in pairs or FOLDER.fullmatch(name.lower())]
    return found if len(found) < len(names) else []


def kind_of(name: str) -> str:
    """The name of a picture with # for its number."""
    stem, dot, suffix = name.rpartition(".")
    suffix = dot + suffix.lower()
    return NUMBER.sub("#", stem, count=1) + LIKE_JPG.get(suffix, suffix)


def words(kind: str) -> set[str]:
    """Words in small letters in the name of a kind, which may be parted by capitals, without the suffix."""
    stem = kind.rpartition(".")[0]
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_a-zA-Z]+", stem)}


def has_number_twice(kinds: Kinds) -> bool:
    """Whether pictures that only differ in their suffix have the same number."""
    stems = [Path(name).stem for names in kinds.values() for name in names]
    return len({*stems}) < len(stems)


def ambiguous(folder: Path, kinds: Kinds) -> UnreadableVideoError:
    """What to say of a folder with kinds that cannot be told apart."""
    most = sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0]))
    told = " and ".join(f"{len(names)} like {min(names)} ({kind})" for kind, names in most[:2])
    return UnreadableVideoError(
        f"The folder {folder} has {len(kinds)} kinds of pictures, {told}; their names do not tell which are the "
        "frames. Move the others to another folder."
    )


@cache
def tell_passed_over(kinds: str) -> None:
    """Log, once in a process, what is no frame."""
    logger.warning("Pictures beside frames that are none by their names are passed over, such as %s", kinds)


def by_number(name: str) -> list[str | int]:
    """A key that sorts numbers in names by their value."""
    return [int(part) if part.isdecimal() else part for part in re.split("([0-9]+)", name)]
