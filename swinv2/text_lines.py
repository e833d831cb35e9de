"""Lines of a text file that somebody wrote by hand: checked for its encoding, without comments, with their numbers."""

import codecs
import re
from pathlib import Path
from typing import NamedTuple

MOST_BYTES = 1 << 28  # of a file of text
LONGEST = 4096  # characters of a line
COMMENT = re.compile(r"#+(\s.*)?")  # '#' alone or before a blank; '#name' is a name
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
SHOWN = 60  # characters of a line in a message


class Line(NamedTuple):
    """A line of a file.

    Attributes:
        number: from 1.
        text: without blanks at its ends.
    """

    number: int
    text: str

    def __str__(self) -> str:
        text = self.text if len(self.text) <= SHOWN else f"{self.text[:SHOWN]}…"
        return f"line {self.number}, {text!r}"


def read_text(path: Path, advice: str) -> str:
    """The content of a text file in UTF-8, with or without a byte order mark.

    Args:
        path: a file that is there.
        advice: what it should be, for messages.

    Raises:
        ValueError: it is too large, or no text in UTF-8.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path} is not a text file of {MOST_BYTES} bytes at most, it has {size}. {advice}")
    content = path.read_bytes()
    if content.startswith(UTF_16):
        raise ValueError(f"{path} is not a text file in UTF-8 but in UTF-16; save it again in UTF-8. {advice}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise ValueError(
            f"{path} is not a text file in UTF-8: line {number} has the byte {byte:#04x}. Save it again in UTF-8. "
            f"{advice}"
        ) from error


def lines_of(text: str) -> list[Line]:
    """The lines of a text that are neither empty nor comments.

    Raises:
        ValueError: an over-long line, or a control character, which no text has.
    """
    lines = []
    for number, full in enumerate(text.splitlines(), 1):
        line = Line(number, full.strip().strip("\ufeff").strip())
        if len(line.text) > LONGEST:
            raise ValueError(f"The text has a line of {len(line.text)} characters, {line}; up to {LONGEST} are read.")
        if found := CONTROL.search(line.text):
            raise ValueError(
                f"The text has the control character {found[0]!r} in {line}; save it again as plain text in UTF-8."
            )
        if line.text and not COMMENT.fullmatch(line.text):
            lines.append(line)
    return lines
