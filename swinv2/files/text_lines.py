"""Lines of a handwritten text file, with their numbers and without comments; its encoding is checked."""

import codecs
import re
from pathlib import Path
from typing import NamedTuple

MOST_BYTES = 1 << 28  # of a file of text
LONGEST = 4096  # characters of a line
COMMENT = re.compile(r"#+(\s.*)?")  # '#' alone or before a blank; '#name' is a name
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
SEPARATOR = re.compile("sep=.")  # first line that tells Excel the delimiter of a table
SHOWN = 60  # characters of a line in a message

PAGE = re.compile(rb"\s*<(?:!doctype|\?xml|html|(\w+)[\s>].*</\1>\s*\Z)", re.IGNORECASE | re.DOTALL)
OTHERS = {  # files that are no text by their first bytes: description, and advice
    b"version https://git-lfs": ("a pointer of git-lfs", "run git lfs pull"),
    b"PK\x03\x04": ("a ZIP archive or a table of Excel", "extract it, or save the table as CSV in UTF-8"),
    b"\xd0\xcf\x11\xe0": ("a document of Office", "save the table as CSV in UTF-8"),
    b"\x1f\x8b": ("compressed by gzip", "decompress it with gunzip"),
    b"MATLAB 5.0": ("a file of MATLAB", "write what it says as text in UTF-8"),
    b"\x89HDF": ("a file of HDF5 or MATLAB", "write what it says as text in UTF-8"),
    b"\x80\x04\x95": ("a pickle of Python, which is not opened", "write what it says as text in UTF-8"),
    b"PAR1": ("a table of Parquet", "save it as CSV"),
    b"%PDF": ("a PDF document", "write what it says as text in UTF-8"),
}


class Line(NamedTuple):
    """Line of a file.

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
    """Content of a text file in UTF-8, with or without a byte order mark.

    Args:
        path: an existing file.
        advice: description of the expected format, for messages.

    Raises:
        ValueError: it is too large, no text in UTF-8, or a page of HTML or XML.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path} is not a text file of {MOST_BYTES} bytes at most, it has {size}. {advice}")
    content = path.read_bytes()
    kinds = [kind for magic, kind in OTHERS.items() if content.startswith(magic)]
    if PAGE.match(content):
        kinds = [("a page of HTML or XML, such as servers send with an error", "fetch it again, or write it as text")]
    if kinds:
        raise ValueError(f"{path} is not a text file but {kinds[0][0]}; {kinds[0][1]}. {advice}")
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
    """Lines of a text without empty lines, comments, and Excel's first line that names the delimiter ("sep=;").

    Raises:
        ValueError: a line is too long, or has a control character.
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
        if line.text and not COMMENT.fullmatch(line.text) and not (number == 1 and SEPARATOR.fullmatch(line.text)):
            lines.append(line)
    return lines
