"""Pixel values from numbers at the ends of a text."""

from typing import NamedTuple

from segmentation.data.class_headings import NUMBER, WHOLE

LEVELS = 1 << 16  # values of 16 bits
DELIMITERS = ("\t", ";", "|", ",", ":", "=")
LONGEST = 18  # greatest number of digits


class Cut(NamedTuple):
    """Text split into a number at one end and the rest.

    Attributes:
        number: the number.
        delimiter: delimiter between the two, one of DELIMITERS or a blank.
        rest: the rest of the text.
    """

    number: str
    delimiter: str
    rest: str


def number_in_front(text: str) -> Cut | None:
    """Split off the number that a text begins with; None without a number in front or text behind it."""
    found = NUMBER.match(text)
    if found is None:
        return None
    behind = text[found.end() :]
    rest = behind.lstrip()
    delimiter = rest[:1] if rest[:1] in DELIMITERS else "\t" if "\t" in behind[: len(behind) - len(rest)] else " "
    rest = rest.removeprefix(delimiter).lstrip()
    return Cut(found[0], delimiter, rest) if rest and len(rest) < len(behind) else None


def number_behind(text: str) -> Cut | None:
    """Split off the number that a text ends in; None without a number at the end or text before it."""
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
    """Pixel value of a written number.

    Args:
        number: the number as it is written.
        place: its place in the file for the message, e.g. "Line 3".

    Raises:
        ValueError: the number is not whole, or out of the range of label maps.
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
