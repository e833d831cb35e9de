"""CSV files."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

from ..files.whole import write_whole

Row = Sequence[str | int | float]


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a table as CSV; file names that are not UTF-8 keep their bytes."""
    text = StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    data = text.getvalue().encode("utf-8", "surrogateescape")
    write_whole(path, lambda part: part.write_bytes(data))
