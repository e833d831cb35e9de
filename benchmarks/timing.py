"""Timing several models in turns, so that whatever slows the machine slows them all."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import torch


def medians(
    calls: Mapping[str, Callable[[], object]], rounds: int, first: int = 1, repeats: int = 1
) -> dict[str, float]:
    """Median seconds of each call, the calls taking turns after one round that does not count.

    Args:
        calls: what is timed, by name.
        rounds: how often each is timed.
        first: number of the first round that counts; 0 for calls that are long enough to need no other before them.
        repeats: how often each is called at a time; on a GPU, which is waited for at the end only, more than once.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds + first):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(repeats):
                call()
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            if i >= first:
                times[name].append((time.perf_counter() - start) / repeats)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def machine() -> str:
    """Processor and its vectors, cores, GPU if one is in use, torch and date, as a result needs to be read by."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_initialized() else ""
    cpu = f"{model} ({torch.backends.cpu.get_cpu_capability()}), {cores} cores, {torch.get_num_threads()} threads"
    return f"{gpu}{cpu}, torch {torch.__version__}, {date.today()}"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows])


def ratio(ours: float, theirs: float | None, goal: float | None = None) -> str:
    """Our time or memory in multiples of another, and the goal, as a cell of a table; a dash where nothing is known."""
    if theirs is None:
        return "–"
    return f"{ours / theirs:.2f}" + ("" if goal is None else f" (goal {goal:.2f})")
