"""What the benchmarks that compare the time of models share: rows with goals, the command line, a table's cells."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers import EAGER, VERSIONS, Work
from benchmarks.results import keep
from benchmarks.timing import machine, ratio
from swinv2.engines.cpu.packing import AVX2, can_pack

TINY8, TINY16, BASE24 = (
    f"swinv2_{name}" for name in ("tiny_window8_256", "tiny_window16_256", "base_window12to24_192to384")
)
COMPILED, OURS_COMPILED = "timm, compiled", "ours, compiled"
REPEATS = {"cpu": 1, "cuda": 10}


@dataclass(frozen=True)
class Row:
    """What is measured, and the goals.

    Attributes:
        work: model and images.
        dtype: of the weights and images, or of autocast.
        eager: our time in multiples of the best peer's, at most.
        compiled: the same of compiled timm, which is timed only where there is such a goal.
    """

    work: Work
    dtype: torch.dtype
    eager: float | None = None
    compiled: float | None = None


Rows = Mapping[str, Mapping[str, Row]]  # by device and name
Measure = Callable[[Row, int, bool, str], dict[str, Any]]  # row, rounds, whether to compile, device
Report = Callable[[Mapping[str, Row], Mapping[str, Any], str], str]  # rows, what was measured, device


def compare(module: str, about: str, rows: Rows, measure: Measure, report: Report, rounds: int) -> None:
    """The command of a benchmark: measure what is asked for, print the tables and write them beside the module.

    Args:
        module: file of the benchmark.
        about: what it says of itself.
        rows: what it can measure.
        measure: gives the numbers of a row.
        report: gives the tables of the rows that are measured, by this run or by others of the same day.
        rounds: how often each model is timed if nothing is said.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--device", choices=list(rows), default="cpu")
    parser.add_argument(
        "--rows", nargs="+", metavar="ROW", help=f"some of {', '.join(rows['cpu'])}; else all it has products for"
    )
    parser.add_argument("--rounds", type=int, default=rounds, help="how often each model is timed")
    parser.add_argument("--no-compile", action="store_true", help="leave out compiled models")
    options = parser.parse_args()
    here, name = rows[options.device], Path(module).stem + suffix(options.device)
    chosen = options.rows or [row for row in here if options.device == "cuda" or multiplies(here[row].dtype)]
    if len(chosen) > 1:  # each in a process of its own: memory that others left behind spares some models page faults
        common = ["--device", options.device, "--rounds", str(options.rounds)]
        common += ["--no-compile"] if options.no_compile else []
        for row in chosen:
            subprocess.run(
                [sys.executable, "-m", f"benchmarks.{Path(module).stem}", *common, "--rows", row], check=True
            )
        return
    for row in chosen:
        new = measure(here[row], options.rounds, not options.no_compile, options.device)
        print(row, new, flush=True)
        found = keep(name, {row: new})
        text = report({row: here[row] for row in here if row in found}, found, options.device)
        Path(module).with_name(f"{name}.md").write_text(text)  # after each row, as they take minutes
    print(text)


def suffix(device: str) -> str:
    """What tells results of GPUs, and of CPUs without vectors wider than AVX2's, from others in the names of files."""
    return "_gpu" if device == "cuda" else "_avx2" if AVX2 else ""


def multiplies(dtype: torch.dtype) -> bool:
    """Whether this CPU has products in a type, so that a row in it says something."""
    return dtype == torch.float32 or can_pack(dtype)


def columns(names: Sequence[str], rows: Mapping[str, Row], found: Mapping[str, Any]) -> list[str]:
    """Those of the models that were timed in some row."""
    return [name for name in names if any(name in found[row]["ms"] for row in rows)]


def header(names: Sequence[str], device: str) -> list[str]:
    """Names of the columns of a table of times."""
    limits = ["limit, ms", "rate, GFLOP/s", *(["memory's limit, ms"] if device == "cuda" else [])]
    return ["", *(f"{name}, ms" for name in names), "ours / best eager peer", "ours / timm compiled", *limits]


def times(name: str, row: Row, found: Mapping[str, Any], names: Sequence[str], device: str) -> list[str]:
    """Cells of a row of a table of times."""
    ms, least = found["ms"], found["limit"]
    digits = 1 if device == "cuda" else 0
    best = min(ms[peer] for peer in EAGER if peer in ms)
    ours = min(ms[one] for one in ("ours", OURS_COMPILED) if one in ms)
    cells = [f"{ms[one]:.{digits}f}" if one in ms else "–" for one in names]
    limits = [f"{least['ms']:.{digits}f}", f"{least['GFLOP/s']:.0f}"]
    limits += [f"{least['traffic ms']:.{digits}f}"] if device == "cuda" else []
    compared = [ratio(ms["ours"], best, row.eager), ratio(ours, ms.get(COMPILED), row.compiled)]
    return [f"{name}, batch {row.work.batch}", *cells, *compared, *limits]


def small(found: Sequence[float] | None) -> str:
    """An error, largest and root of the mean square, as a cell; a dash for none."""
    return "–" if found is None else f"{found[0]:.1e} (rms {found[1]:.1e})"


def footer(module: str, device: str) -> str:
    """Hardware, releases, date and command."""
    return f"{machine()},\n{VERSIONS}. `python -m benchmarks.{Path(module).stem} --device {device}`."


def rounds_of(found: Mapping[str, Any]) -> str:
    """How often models were timed, which runs of parts may have done with different numbers."""
    return " or ".join(sorted({str(row["rounds"]) for row in found.values()}))
