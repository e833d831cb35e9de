"""Streaming reader of COCO JSON: entries with their byte ranges, in little memory however large the file."""

import json
import re
from collections.abc import Collection, Iterator
from json import JSONDecodeError
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

BLOCK = 1 << 22  # bytes read at once
BLANKS = " \t\r\n"
BLANK = re.compile(f"[{BLANKS}]*")
COMPRESSED = b"\x1f\x8b", b"PK\x03\x04"  # beginnings of gzip and ZIP files
TAIL = 64  # characters before the end of a block in which a number, literal or escape may be cut off
SHOWN = 40  # characters of a damaged place in a message
UNTERMINATED = re.compile("Unterminated string|Invalid \\\\")  # errors that more text may resolve


class Entry(NamedTuple):
    """An entry of one of the lists at the top of the file.

    Attributes:
        section: name of the list.
        position: index in the list, from 0.
        value: the parsed entry.
        start: first byte in the file.
        end: the byte after the last.
    """

    section: str
    position: int
    value: Any
    start: int
    end: int


def entries(path: Path, sections: Collection[str], seen: set[str]) -> Iterator[Entry]:
    """The entries of some lists at the top of a file, in the file's order; the rest is skipped.

    Args:
        path: the file.
        sections: names of the lists.
        seen: set to which each list's name is added when the list begins.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not JSON in UTF-8 or not an object, or a section is no list or occurs twice.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no annotation file {path}; check the data folder and the file's name.")
    with path.open("rb") as file:
        stream = Stream(path, file)
        if stream.peek() != "{":
            stream.value()  # raises if it is not JSON at all
            raise ValueError(f"{path} is not a COCO annotation file: it needs lists named {[*sections]} at the top.")
        for name in stream.keys():  # noqa: SIM118  (no dict)
            if name not in sections:
                stream.value()
                continue
            if name in seen or stream.peek() != "[":
                wrong = "twice" if name in seen else "not as a list"
                raise ValueError(f"{path} is not a COCO annotation file: it has {name!r} {wrong}.")
            seen.add(name)
            for position in stream.items():
                yield Entry(name, position, *stream.value())
        stream.end()


def read_span(data: bytes) -> Any:
    """Parse an entry from its bytes in the file.

    Raises:
        ValueError: the bytes are not JSON in UTF-8.
    """
    return json.loads(data.decode("utf-8"))


class Stream:
    """Parser of a JSON file that holds one block of text in memory at a time.

    Bytes are decoded one to one (Latin-1), so that positions in the text are positions in the file; JSON's punctuation
    and numbers are ASCII.

    Args:
        path: path of the file, for messages.
        file: the file, opened for reading bytes.

    Raises:
        ValueError: the file is compressed, or in UTF-16 or UTF-32.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.text, self.at = "", 0
        self.offset = 0  # position of the text in the file
        self.decode = json.JSONDecoder().raw_decode
        self._more()
        head = self.text[:4].encode("latin-1")
        if head.startswith(COMPRESSED):
            raise ValueError(f"{path} is compressed (gzip or ZIP); unpack it first.")
        encoding = json.detect_encoding(head) if head else "utf-8"
        if not encoding.startswith("utf-8"):
            raise ValueError(f"{path} is written in {encoding}; COCO files are UTF-8. Save it again in UTF-8.")
        if encoding == "utf-8-sig":
            self.at = 3

    def peek(self) -> str:
        """The next character that is no blank, without consuming it; empty at the end."""
        while True:
            sign = self.text[self.at : self.at + 1]
            if sign and sign not in BLANKS:
                return sign
            found = BLANK.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at == len(self.text) and not self._more():
                return ""

    def value(self) -> tuple[Any, int, int]:
        """Read the next value: the value, its first byte in the file and the one after the last.

        Raises:
            ValueError: there is no valid JSON in UTF-8.
        """
        if self.peek() == "{" and (found := self._plain_object()):
            return found
        while True:
            try:
                value, end = self.decode(self.text, self.at)
            except JSONDecodeError as error:
                settled = not UNTERMINATED.match(error.msg) and error.pos + TAIL < len(self.text)
                place = self.offset + error.pos
                if settled or not self._more():
                    raise self._error(error.msg, place) from error
            except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists in lists
                raise self._error(str(error), self.offset + self.at) from error
            else:
                if end < len(self.text) or not self._more():  # a number may go on in the next block
                    break
        start, self.at = self.at, end
        written = self.text[start:end]
        if not written.isascii():
            try:
                value = read_span(written.encode("latin-1"))
            except UnicodeDecodeError as error:
                raise self._not_utf8(error, start) from error
        return value, self.offset + start, self.offset + end

    def _plain_object(self) -> tuple[Any, int, int] | None:
        """`value` of an ASCII object without objects in it, read three times as fast; None for any other.

        The text up to a closing brace is JSON of its own only if the brace is the one that closes the object.
        """
        end = self.text.find("}", self.at) + 1
        written = self.text[self.at : end]
        if not written.isascii():
            return None
        try:
            value = orjson.loads(written)
        except orjson.JSONDecodeError:  # for example NaN, which COCO files may have: left to the standard library
            return None
        start, self.at = self.at, end
        return value, self.offset + start, self.offset + end

    def end(self) -> None:
        """Raise unless the file ends here.

        Raises:
            ValueError: something follows.
        """
        if self.peek():
            raise self._error("Extra data behind its end", self.offset + self.at)

    def keys(self) -> Iterator[str]:
        """The keys of an object; after each, the caller reads the value by `value` or `items`."""
        for _ in self._parts("{", "}"):
            name, *_ = self.value()
            if not isinstance(name, str) or self.peek() != ":":
                raise self._error("Expecting a key in quotes and ':'", self.offset + self.at)
            self.at += 1
            yield name

    def items(self) -> Iterator[int]:
        """The positions in a list; at each, the caller reads the item by `value`."""
        return self._parts("[", "]")

    def _parts(self, opening: str, closing: str) -> Iterator[int]:
        assert self.peek() == opening
        self.at += 1
        if self.peek() == closing:
            self.at += 1
            return
        position = 0
        while True:
            yield position
            position += 1
            sign = self.peek()
            if sign not in (",", closing):
                raise self._error(f"Expecting ',' or '{closing}'", self.offset + self.at)
            self.at += 1
            if sign == closing:
                return

    def _more(self) -> bool:
        """Read the next block, at least as long as the unread text; False at the end of the file.

        Blocks that double make a long entry take few attempts.
        """
        data = self.file.read(max(BLOCK, len(self.text) - self.at))
        self.text = self.text[self.at :] + data.decode("latin-1")
        self.offset += self.at
        self.at = 0
        return bool(data)

    def _not_utf8(self, error: UnicodeDecodeError, start: int) -> ValueError:
        """Error for letters in another encoding.

        Args:
            error: error of their decoding.
            start: position of the decoded value in the text.
        """
        found = error.object[error.start :][:SHOWN]
        return ValueError(
            f"{self.path} has letters that are not UTF-8 at byte {self.offset + start + error.start:,}, {found!r}; "
            "COCO files are UTF-8. Save it again, from the encoding of the system that wrote it (e.g. GBK, cp1252)."
        )

    def _error(self, problem: str, place: int) -> ValueError:
        """Error for a problem at some byte of the file."""
        text = self.text[place - self.offset :][:SHOWN]
        found = f"{problem} at byte {place:,}, {text!r}" if text else f"it ends after {place:,} bytes"
        return ValueError(
            f"{self.path} is not valid JSON: {found}. Was it cut short or damaged? Copy or download it again."
        )
