"""A figure that a check found, and how time is taken on a GPU."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Figure(NamedTuple):
    """What was found.

    Attributes:
        what: was measured.
        value: in words and numbers.
        expected: what would be good; empty for what is only to be known.
        good: whether it is; None for what is only to be known.
    """

    what: str
    value: str
    expected: str = ""
    good: bool | None = None


class Place(NamedTuple):
    """Where checks run.

    Attributes:
        device: a GPU, or the CPU, where kernels are interpreted.
        tiny: whether the numbers are few, for a dry run of the checks themselves.
    """

    device: torch.device
    tiny: bool

    @property
    def gpu(self) -> bool:
        """Whether times mean anything."""
        return self.device.type == "cuda"

    def wait(self) -> None:
        """Wait until the device has done what it was told."""
        if self.gpu:
            torch.cuda.synchronize(self.device)


def seconds(place: Place, call: Callable[[], object], rounds: int = 7, repeats: int = 10) -> float:
    """Median seconds of a call, after two that do not count; on a CPU of one call.

    Args:
        place: where it runs.
        call: what is timed.
        rounds: how often time is taken.
        repeats: calls each time, which are waited for together.
    """
    if place.gpu:
        call()
        call()
    taken = []
    for _ in range(rounds if place.gpu else 1):
        place.wait()
        start = time.perf_counter()
        for _ in range(repeats if place.gpu else 1):
            call()
        place.wait()
        taken.append((time.perf_counter() - start) / (repeats if place.gpu else 1))
    return statistics.median(taken)


def peak(place: Place, call: Callable[[], object]) -> int:
    """Bytes of the GPU that a call takes at most beside what is there."""
    torch.cuda.reset_peak_memory_stats(place.device)
    before = torch.cuda.memory_allocated(place.device)
    call()
    return torch.cuda.max_memory_allocated(place.device) - before


def error(found: Tensor, wanted: Tensor) -> float:
    """Length of the difference, relative to the second."""
    found, wanted = found.double(), wanted.double().to(found.device)
    return float((found - wanted).norm() / wanted.norm().clamp(min=1e-12))


def row_error(found: Tensor, wanted: Tensor) -> float:
    """Largest difference of two rows, relative to the mean length of the second ones."""
    found, wanted = (x.double().flatten(0, -2) for x in (found, wanted.to(found.device)))
    return float((found - wanted).norm(dim=-1).max() / wanted.norm(dim=-1).mean().clamp(min=1e-12))


def same_bits(ones: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether all tensors are equal, NaN included."""
    return all(torch.equal(one.nan_to_num(), other.nan_to_num()) for one, other in zip(ones, others, strict=True))
