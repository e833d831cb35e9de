"""Row of a list of videos, in whatever format, and the check of its label."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

NO_LABEL = ("", "nan", "null", "<na>", "#n/a", "#name?", "#value!", "#ref!")  # texts of programs for no label
WHOLE = re.compile(r"\+?([0-9]+)(?:\.0*)?")
NUMERIC = re.compile(r"[-+]?(?:[0-9]*[.,])?[0-9]+(?:[eE][-+]?[0-9]+)?|[-+]?inf(?:inity)?", re.IGNORECASE)


class Row(NamedTuple):
    """Video in a list.

    Attributes:
        label: number or name of its class.
        places: possible paths of its file below the folder of videos, most likely first; suffixes may be missing.
    """

    label: str
    places: tuple[str, ...]


def row_of(label: str, places: Sequence[str], where: object) -> Row:
    """Check a row of a list and return it.

    Args:
        label: label as written; a whole number may have a decimal point, as pandas writes it.
        places: see `Row`.
        where: place of the row for messages, e.g. a line.

    Raises:
        ValueError: no label or place, or a number that cannot be a class.
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
    """Possible paths of a video of Kinetics.

    Names are `youtube_id_000010_000020`, `youtube_id` and `youtube_id_10_20`, in a folder named after the class, with
    blanks or underscores, or in none.

    Args:
        label: name of its class.
        video: id of the video.
        start: start of the clip, seconds; missing if it is no number.
        end: end of the clip, seconds; missing if it is no number.
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
    """Time in whole seconds; None if it is no number."""
    try:
        number = float(str(seconds))
    except ValueError:
        return None
    return round(number) if math.isfinite(number) else None
