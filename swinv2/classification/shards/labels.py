"""The label of a sample in a shard: the number of its class as text in .cls or .txt, or as `label` in .json."""

import json
import re
from collections.abc import Mapping
from typing import BinaryIO

from .tar_members import Member

UNLABELLED, WRONG = -1, -2  # in place of a label: there is none, or it is no number
NUMBER = re.compile(r"\+?(\d{1,18})(?:\.0*)?")
GREATEST = 2**31 - 1
SHOWN = 30  # letters of what is no label
MOST_BYTES = {"cls": 1 << 12, "txt": 1 << 12, "json": 1 << 24}  # that are read


def read_label(file: BinaryIO, parts: Mapping[str, Member]) -> tuple[int, str]:
    """The label of a sample, UNLABELLED or WRONG, and for this what is there instead.

    Args:
        file: the shard, opened.
        parts: members of the sample by their kind.
    """
    wrong = ""
    for kind in ("cls", "json", "txt"):
        if kind not in parts:
            continue
        value, shown = read_value(file, parts[kind], kind)
        label = number_in(value)
        if label is not None:
            return label, ""
        if value is not None and kind != "txt":  # a text that is no number is a caption
            wrong = wrong or shown
    return (WRONG, wrong) if wrong else (UNLABELLED, "")


def read_value(file: BinaryIO, member: Member, kind: str) -> tuple[object, str]:
    """What a file has for a label, None for nothing, and that as a message shows it.

    Args:
        file: the shard, opened.
        member: the file.
        kind: its suffix.
    """
    if member.size > MOST_BYTES[kind]:
        return False, f"{member.size} bytes in .{kind}"
    if member.offset < 0:
        return None, ""
    file.seek(member.offset)
    content = file.read(member.size)
    shown = f"{content[:SHOWN]!r}"
    if kind != "json":
        return content.decode("utf-8-sig", "replace"), shown
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        return False, shown
    value = parsed.get("label") if isinstance(parsed, dict) else False
    return value, f"{value!r:.{SHOWN}}" if isinstance(parsed, dict) else shown


def number_in(value: object) -> int | None:
    """The label that a number or a text is; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    found = NUMBER.fullmatch(text)
    return int(found[1]) if found and int(found[1]) <= GREATEST else None
