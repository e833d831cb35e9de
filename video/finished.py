"""Which videos of a test are finished: a file that a killed run leaves and the next one goes on with."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


class Finished:
    """Probabilities of the videos that are done, one JSON line each, written as soon as they are there.

    Every process has a file of its own. The first line of a file says what the test was; files of another test, another
    checkpoint or other views, are put aside.

    Args:
        folder: of the files.
        test: what makes two tests the same, e.g. checkpoint and views.
        process: number of this process.
    """

    def __init__(self, folder: Path, test: Mapping[str, Any], process: int = 0) -> None:
        self.test = json.dumps(test, sort_keys=True)
        self.path = folder / f"finished_{process}.jsonl"
        self.probabilities: dict[str, list[float]] = {}
        for path in sorted(folder.glob("finished_*.jsonl")):
            self._read(path)
        folder.mkdir(parents=True, exist_ok=True)

    def __contains__(self, name: str) -> bool:
        return name in self.probabilities

    def add(self, name: str, probabilities: Sequence[float]) -> None:
        """Note that a video is done.

        Args:
            name: of the video, which no other has.
            probabilities: of the classes.
        """
        self.probabilities[name] = list(probabilities)
        new = not self.path.exists()
        with self.path.open("a", encoding="utf-8") as file:
            if new:
                file.write(self.test + "\n")
            file.write(json.dumps([name, self.probabilities[name]]) + "\n")

    def _read(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        first, *lines = text.splitlines() or [""]
        if first != self.test:
            aside = path.with_suffix(".other")
            path.rename(aside)
            logger.warning("%s belongs to another test; it is now %s.", path, aside)
            return
        whole = []
        for line in lines:
            try:
                name, probabilities = json.loads(line)
            except ValueError:  # the last line, which the run that was killed did not finish
                continue
            self.probabilities[name] = probabilities
            whole.append(line)
        if len(whole) < len(lines) or not text.endswith("\n"):
            path.write_text("\n".join([first, *whole]) + "\n", encoding="utf-8")
