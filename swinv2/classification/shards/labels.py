"""Label of a sample in a shard: the number of its class as text in .cls or .txt, or as `label` in .json."""

import json
import re
from collections.abc import Mapping
from typing import BinaryIO

from .tar_members import Member

UNLABELLED, WRONG = -1, -2  # in place of a label that is missing, or is no number
NUMBER = re.compile(r"\+?(\d{1,18})(?:\.0*)?")
GREATEST = 2**31 - 1
SHOWN = 30  # letters of an invalid label
MOST_BYTES = {"cls": 1 << 12, "txt": 1 << 12, "json": 1 << 24}  # of a file with a label


def read_label(file: BinaryIO, parts: Mapping[str, Member]) -> tuple[int, str]:
    """Label of a sample, or UNLABELLED or WRONG, and for WRONG the invalid label as text.

    Args:
        file: the shard, opened.
        parts: members of the sample by suffix.
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
    """Value that a file has for a label, None if it has none, and the value as text for messages.

    Args:
        file: the shard, opened.
        member: the file.
        kind: suffix of the file.
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
    """Label by a number or text; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    found = NUMBER.fullmatch(text)
    return int(found[1]) if found and int(found[1]) <= GREATEST else None
