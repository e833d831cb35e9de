"""Results of a benchmark kept between runs, so that it may be run in parts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.timing import machine

FOLDER = Path("runs/benchmarks")


def keep(name: str, rows: Mapping[str, Any], folder: Path = FOLDER) -> dict[str, Any]:
    """New rows among those that the same machine and torch gave before on the same day; others are forgotten.

    Args:
        name: of the benchmark.
        rows: what was measured, by name of the row, as JSON can write it.
        folder: where results are kept.
    """
    path = folder / f"{name}.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    known = before["rows"] if before.get("machine") == machine() else {}
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "rows": known | dict(rows)}, indent=1))
    return known | dict(rows)
