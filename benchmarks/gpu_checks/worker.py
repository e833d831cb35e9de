"""The process that runs checks: it reads their names, a line each, and writes what they find, a line of JSON each."""

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import NamedTuple

import torch

from benchmarks.gpu_checks.figure import Figure, Place
from benchmarks.gpu_checks.interpreted import interpret

MARK = "gpu-check "  # begins lines that are meant, as libraries print, too
DONE = "done"


class Check(NamedTuple):
    """One check.

    Attributes:
        module: file of this folder that has it, as a function of its name.
        seconds: that it takes on an H200 at most, by estimate.
        dry: whether it also runs on a CPU.
    """

    module: str
    seconds: float
    dry: bool = False


CHECKS = {  # the most valuable first
    "environment": Check("surroundings", 20, dry=True),
    "parity": Check("numbers", 90, dry=True),
    "guards": Check("numbers", 20, dry=True),
    "large_offsets": Check("numbers", 20, dry=True),
    "whole_model": Check("model", 40, dry=True),
    "speed": Check("speed", 60, dry=True),
    "end_to_end": Check("peers", 120, dry=True),
    "fallback": Check("model", 30, dry=True),
    "memory": Check("model", 10),
    "compiled": Check("model", 70),
    "alternatives": Check("speed", 60, dry=True),
    "sanitizer": Check("surroundings", 60),
    "tasks": Check("surroundings", 120),
    "large_windows": Check("speed", 30, dry=True),
    "tiles": Check("speed", 60, dry=True),
    "fp32": Check("speed", 20, dry=True),
    "jit": Check("surroundings", 30),
    "detection": Check("peers", 60),
    "segmentation": Check("peers", 60),
    "video": Check("peers", 60),
}


def main(device: str, tiny: str) -> None:
    """Run checks as their names arrive.

    Args:
        device: where they run.
        tiny: "tiny" for few numbers, and interpreted kernels on a CPU.
    """
    if device == "cpu":
        interpret()
    place = Place(torch.device(device), bool(tiny))
    for line in sys.stdin:
        for figure in found(line.strip(), place):
            print(f"{MARK}{json.dumps(figure)}", flush=True)
        print(f"{MARK}{json.dumps(DONE)}", flush=True)


def found(name: str, place: Place) -> Iterator[Figure]:
    """Figures of a check; one that raises ends with a bad figure."""
    if not (place.gpu or CHECKS[name].dry):
        yield Figure("left out", "it needs a GPU")
        return
    try:
        check: Callable[[Place], Iterator[Figure]]
        check = getattr(import_module(f"benchmarks.gpu_checks.{CHECKS[name].module}"), name)
        yield from check(place)
    except torch.OutOfMemoryError:
        yield Figure("left out", "this card has too little memory for the rest of it")
    except Exception as error:  # whatever a compiler, a driver or another package raises
        traceback.print_exc()
        yield Figure("raised", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", "nothing", False)


if __name__ == "__main__":
    main(*sys.argv[1:])
