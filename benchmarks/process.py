"""Peak memory of a process of its own, so that nothing before it counts (Linux)."""

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def in_process(module: str, *arguments: str) -> float:
    """The number that a benchmark prints last, run by itself.

    Args:
        module: the benchmark, such as `benchmarks.segmentation`.
        arguments: of its command line.
    """
    return numbers_in_process(module, *arguments)[-1]


def numbers_in_process(module: str, *arguments: str) -> list[float]:
    """The numbers of the last line that a benchmark prints, run by itself; arguments as of `in_process`."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True, check=True)
    return [float(word) for word in done.stdout.splitlines()[-1].split()]


def peak(call: Callable[[], object]) -> float:
    """Largest resident memory of this process during a call, GiB above that before."""
    ctypes.CDLL(None).malloc_trim(0)  # what earlier calls have freed is no memory to start with
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    call()
    return resident("VmHWM") - before


def resident(which: str) -> float:
    """Resident memory of this process, GiB: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which)) / 2**20
