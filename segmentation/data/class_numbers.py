"""Numbers at the ends of a text, and the pixel values that they say."""

from typing import NamedTuple

from segmentation.data.class_headings import NUMBER, WHOLE

LEVELS = 1 << 16  # values of 16 bits
DELIMITERS = ("\t", ";", "|", ",", ":", "=")
LONGEST = 18  # digits of a number that is read


class Cut(NamedTuple):
    """A text of which a number was cut off.

    Attributes:
        number: at one of its ends.
        delimiter: between the two, one of DELIMITERS or a blank.
        rest: the other part.
    """

    number: str
    delimiter: str
    rest: str


def number_in_front(text: str) -> Cut | None:
    """The number that a text begins with and what follows; None if it begins otherwise or ends there."""
    found = NUMBER.match(text)
    if found is None:
        return None
    behind = text[found.end() :]
    rest = behind.lstrip()
    delimiter = rest[:1] if rest[:1] in DELIMITERS else "\t" if "\t" in behind[: len(behind) - len(rest)] else " "
    rest = rest.removeprefix(delimiter).lstrip()
    return Cut(found[0], delimiter, rest) if rest and len(rest) < len(behind) else None


def number_behind(text: str) -> Cut | None:
    """The number that a text ends in and what is before it; None if it ends otherwise or begins there."""
    end = len(text)
    while end and (text[end - 1].isdecimal() or text[end - 1] == "."):
        end -= 1
    before = text[:end]
    before = before[:-1] if before[-1:] in ("+", "-") and before[-2:-1] in (" ", *DELIMITERS) else before
    number, rest = text[len(before) :], before.rstrip()
    delimiter = rest[-1:] if rest[-1:] in DELIMITERS else "\t" if "\t" in before[len(rest) :] else " "
    rest = rest.removesuffix(delimiter).rstrip()
    return Cut(number, delimiter, rest) if NUMBER.fullmatch(number) and rest and len(rest) < len(before) else None


def to_value(number: str, place: str) -> int:
    """The pixel value that a number says.

    Args:
        number: as it is written.
        place: where, e.g. "Line 3", for the message.

    Raises:
        ValueError: it is no whole number, or files have no such values.
    """
    if not WHOLE.fullmatch(number):
        raise ValueError(f"{place}: {number!r:.40} is no whole number; the value of pixels is one, e.g. 7.")
    whole = number.partition(".")[0]
    value = int(whole) if len(whole) <= LONGEST else LEVELS
    if not 0 <= value < LEVELS:
        raise ValueError(
            f"{place}: the pixel value {whole:.{LONGEST}} is out of range; files hold 0 to {LEVELS - 1}. "
            "For pixels that are to be left out, take the line out and set data.ignore_index."
        )
    return value
