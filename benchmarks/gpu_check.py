"""All that has to be known of a GPU, the most valuable first, within a time limit: `python -m benchmarks.gpu_check`.

Each figure is written to gpu_check.json and gpu_check.md as it is found, so that a run that is killed leaves what it
has. Checks run in another process; one that raises, ends that process or takes too long is a bad figure, and the next
one goes on. The exit status is 1 if a figure is bad.
"""

import argparse
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.gpu_checks.figure import Figure
from benchmarks.gpu_checks.worker import CHECKS, DONE, MARK
from benchmarks.timing import machine, table

WORKER = ("-m", "benchmarks.gpu_checks.worker")
SLOWER = 2.0  # times a check's own estimate that it may take
START = 30.0  # seconds for a process to start
MARKS = {True: "ok", False: "**BAD**", None: ""}


class Row(NamedTuple):
    """A figure, the check that found it, and when."""

    check: str
    figure: Figure
    at: float


def main() -> None:
    """Run the checks, print figures and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=480, help="time for all")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu_check"), help="folder for the figures")
    parser.add_argument(
        "--only", nargs="+", choices=CHECKS, default=list(CHECKS), metavar="NAME", help=", ".join(CHECKS)
    )
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for a dry run by Triton's interpreter")
    parser.add_argument("--tiny", action="store_true", help="few numbers, to see that the checks themselves run")
    options = parser.parse_args()
    if options.device != "cpu" and not torch.cuda.is_available():
        sys.exit(
            "benchmarks.gpu_check needs a GPU; found none. --device cpu --tiny is a dry run of the checks themselves."
        )
    rows: list[Row] = []
    for row in run(options.only, options.device, options.tiny, options.seconds):
        rows.append(row)
        check, (what, value, expected, good), at = row
        print(
            f"[{at:4.0f} s] {MARKS[good]:7} {check}: {what} = {value}{f' ({expected})' if expected else ''}", flush=True
        )
        write(rows, options.out)
    bad = sum(row.figure.good is False for row in rows)
    print(f"{len(rows)} figures, {bad} bad, in {options.out}")
    sys.exit(bool(bad or not rows))


def run(names: Sequence[str], device: str, tiny: bool, limit: float) -> Iterator[Row]:
    """Figures of checks, as they come.

    Args:
        names: of the checks, in turn.
        device: where they run.
        tiny: whether for a dry run.
        limit: seconds for all.
    """
    start, worker = time.monotonic(), Worker(device, tiny)
    try:
        for name in names:
            left = limit - (time.monotonic() - start)
            if left < CHECKS[name].seconds / 2:
                yield Row(name, Figure("left out", f"{max(left, 0):.0f} seconds were left"), time.monotonic() - start)
                continue
            worker = Worker(device, tiny) if worker.ended else worker
            for figure in worker.figures(name, min(left, SLOWER * CHECKS[name].seconds + START)):
                yield Row(name, figure, time.monotonic() - start)
    finally:
        worker.end()


class Worker:
    """The process that runs checks.

    Args:
        device: where they run.
        tiny: whether for a dry run.
    """

    def __init__(self, device: str, tiny: bool) -> None:
        command = [sys.executable, *WORKER, device, "tiny" * tiny]
        root = Path(__file__).parents[1]
        path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            command,
            cwd=root,
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that what it has started ends with it
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.ended = False

    def figures(self, name: str, limit: float) -> Iterator[Figure]:
        """Figures of a check; the last one says so if the process ended, or was ended after `limit` seconds."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, as is seen below
            print(name, file=self._process.stdin, flush=True)
        until = time.monotonic() + limit
        while True:
            try:
                line = self._lines.get(timeout=max(until - time.monotonic(), 0.01))
            except queue.Empty:
                self.end()
                yield Figure("ended", f"not done after {limit:.0f} seconds", "to be done", False)
                return
            if line is None:
                code = self._process.wait()
                self.end()
                yield Figure("ended", signal.Signals(-code).name if code < 0 else f"exit code {code}", "no end", False)
                return
            if (said := json.loads(line)) == DONE:
                return
            yield Figure(*said)

    def end(self) -> None:
        """End the process."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._listener.join()
        with self._process:  # closes its pipes
            self.ended = True

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(MARK):
                self._lines.put(line.removeprefix(MARK))
        self._lines.put(None)


def write(rows: Sequence[Row], folder: Path) -> None:
    """Write figures as JSON and as a table."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [{"check": check, "seconds": round(at, 1), **figure._asdict()} for check, figure, at in rows]
    for name, text in {"gpu_check.json": json.dumps(entries, indent=1), "gpu_check.md": report(rows)}.items():
        part = folder / f".{name}"
        part.write_text(text)
        part.replace(folder / name)  # so that what is there is whole at any time


def report(rows: Sequence[Row]) -> str:
    """The figures as Markdown."""
    bad = sum(row.figure.good is False for row in rows)
    cells = [
        [row.check, row.figure.what, row.figure.value, row.figure.expected, MARKS[row.figure.good]] for row in rows
    ]
    cells = [[cell.replace("|", "/").replace("\n", " ") for cell in row] for row in cells]
    return (
        f"# A GPU, checked\n\n{table(['check', 'what', 'found', 'expected', ''], cells)}\n\n"
        f"{len(rows)} figures, {bad} bad. `python -m benchmarks.gpu_check`, {machine()}.\n"
    )


if __name__ == "__main__":
    main()
