"""One video of a list, however it is written, and the check of its label."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

NO_LABEL = ("", "nan", "null", "<na>", "#n/a", "#name?", "#value!", "#ref!")  # what programs write where there is none
WHOLE = re.compile(r"\+?([0-9]+)(?:\.0*)?")
NUMERIC = re.compile(r"[-+]?(?:[0-9]*[.,])?[0-9]+(?:[eE][-+]?[0-9]+)?|[-+]?inf(?:inity)?", re.IGNORECASE)


class Row(NamedTuple):
    """One video of a list.

    Attributes:
        label: number or name of its class.
        places: where its file may be below the folder of videos, likeliest first; suffixes may be missing.
    """

    label: str
    places: tuple[str, ...]


def row_of(label: str, places: Sequence[str], where: object) -> Row:
    """A row of a list, checked.

    Args:
        label: as it is written; a whole number may have a point, as pandas writes it.
        places: see `Row`.
        where: it stands, for messages, e.g. a line.

    Raises:
        ValueError: no label or place, or a number that is none of a class.
    """
    if not places[0]:
        raise ValueError(f"The {where}, has no path (or id) of a video.")
    if label.lower() in NO_LABEL:
        raise ValueError(f"The {where}, has no label; videos are used only where their class is known.")
    whole = WHOLE.fullmatch(label)
    if whole is None and NUMERIC.fullmatch(label):
        raise ValueError(f"The {where}, has the label {label!r:.40}; labels are 0, 1, 2, … or names.")
    return Row(whole[1] if whole else label, tuple(places))


def kinetics_places(label: str, video: str, start: object, end: object) -> list[str]:
    """Where a video of Kinetics may be.

    Files are looked for as `youtube_id_000010_000020`, `youtube_id` and `youtube_id_10_20`, in folders named after
    their classes, with blanks or underscores, and in none.

    Args:
        label: name of its class.
        video: its id.
        start: of the clip, seconds; what is no number counts as missing.
        end: likewise.
    """
    if not video:
        return [""]
    names = [video]
    seconds = [rounded(start), rounded(end)]
    if None not in seconds:
        names = [f"{video}_{seconds[0]:06}_{seconds[1]:06}", video, f"{video}_{seconds[0]}_{seconds[1]}"]
    folders = dict.fromkeys((f"{label}/", f"{label.replace(' ', '_')}/", ""))
    return [folder + name for folder in folders for name in names]


def rounded(seconds: object) -> int | None:
    """A time in whole seconds; None if it is none."""
    try:
        number = float(str(seconds))
    except ValueError:
        return None
    return round(number) if math.isfinite(number) else None
