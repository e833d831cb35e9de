"""A line of the report, and the report's text without names of this machine and its user."""

import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

WIDTH = 30  # of the names


class Finding(NamedTuple):
    """A line of the report.

    Attributes:
        name: what was looked at.
        text: what was found, and what to do if that is wrong.
        wrong: whether something does not work as it should.
    """

    name: str
    text: str
    wrong: bool = False


def line(finding: Finding) -> str:
    """The line as it is printed."""
    return anonymous(f"{finding.name:<{WIDTH}}{finding.text}")


def summary(findings: Sequence[Finding]) -> str:
    """The lines that are wrong once more, at the end."""
    wrong = [f"- {finding.name}: {finding.text}" for finding in findings if finding.wrong]
    return anonymous("\n".join([f"\n{len(wrong) or 'nothing'} wrong{':' if wrong else ''}", *wrong]))


def anonymous(text: str) -> str:
    """Text without the name of the machine and without paths that name its user."""
    places = {str(Path.cwd()): ".", sys.prefix: "PREFIX", str(Path.home()): "~"}
    for place, name in places.items():
        if len(place) > 1:  # not the root of all
            text = text.replace(place, name)
    host = socket.gethostname()
    return re.sub(rf"\b{re.escape(host)}\b", "HOST", text) if len(host) > 3 else text


def first_line(error: BaseException) -> str:
    """Type of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
