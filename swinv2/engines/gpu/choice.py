"""Whether a kernel computes or PyTorch's own operators: the one place that decides.

Before its first use on a card, a kernel is checked (`self_check.py`) and timed beside PyTorch's operators. One that
fails is not used; one that is slower neither. Outcomes are remembered in this process and on disk. The environment
variable `SWINV2_KERNELS` says otherwise: `off` for no kernels, `on` for kernels without check and timing, `check` to
compare each forward pass of theirs.
"""

import logging
import math
import os
import time
from collections.abc import Callable
from functools import cache, partial

import torch

from . import remembered
from .kernel import Kernel, identity, unfit
from .self_check import fault

log = logging.getLogger(__name__)

WAYS = ("kernel", "pytorch")
MODES = ("auto", "off", "on", "check")
REPEATS = 3
MARGIN = 1.1  # by which PyTorch's operators must be faster, as timings differ from run to run

_faults: dict[tuple[torch.device, Kernel], str | None] = {}
_faster: dict[tuple[torch.device, Kernel, str], bool] = {}
_warned: set[torch.device] = set()


@cache
def mode() -> str:
    """What `SWINV2_KERNELS` says; it is read once.

    Raises:
        ValueError: it says something else.
    """
    found = os.environ.get("SWINV2_KERNELS") or MODES[0]
    if found not in MODES:
        raise ValueError(f"SWINV2_KERNELS is one of {', '.join(MODES)}, got {found!r}.")
    return found


def forget() -> None:
    """Forget what was decided in this process."""
    mode.cache_clear()
    for known in (_faults, _faster, _warned):
        known.clear()


def refusal(kernel: Kernel | str, device: torch.device) -> str | None:
    """Why a kernel is not used on a device, whatever its speed; checks it if that was not done. None if it may be.

    Args:
        kernel: what is asked for, or in words why there is none.
        device: where the tokens are.
    """
    if (reason := unfit(device)) or isinstance(kernel, str):
        return reason or str(kernel)
    if mode() == "off":
        return "SWINV2_KERNELS is off"
    if mode() == "on":
        return None
    if (device, kernel) not in _faults:
        if torch.cuda.is_current_stream_capturing():
            return "a CUDA graph is captured, and the kernel was not used before"
        _faults[device, kernel] = _checked(kernel, device)
    return _faults[device, kernel]


def uses_kernel(
    kernel: Kernel | str, device: torch.device, work: str, trial: Callable[[bool], object] | None = None
) -> bool:
    """Whether a kernel computes.

    Args:
        kernel: what is asked for, or in words why there is none.
        device: where the tokens are.
        work: what is done by it, and about how much of it; timings of different work are kept apart.
        trial: does it once, by the kernel if told true, else by PyTorch's operators; without one nothing is timed.
    """
    if refusal(kernel, device) is not None:
        return False
    assert isinstance(kernel, Kernel)
    key = device, kernel, work
    if key not in _faster:
        fixed = mode() != "auto" or torch.are_deterministic_algorithms_enabled()
        if trial is None or fixed or torch.cuda.is_current_stream_capturing():
            return True
        try:
            _faster[key] = _timed(kernel, device, work, trial)
        except Exception as error:  # as in a check
            _faults[device, kernel] = _told(kernel, device, "trial", _in_short(error))
            return False
    return _faster[key]


def amount(numbers: int) -> str:
    """A word for about so many numbers: the power of four below."""
    return f"4^{max(numbers.bit_length() - 1, 0) // 2}"


def _checked(kernel: Kernel, device: torch.device) -> str | None:
    """What is wrong with a kernel; as it is remembered, else by a check."""
    try:
        known = remembered.read(identity(device))
        if str(kernel) in known:
            found = known[str(kernel)]
        else:
            found = fault(kernel, device)
            remembered.add(identity(device), {str(kernel): found})
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of a compiler, a driver or a launch; not kept on disk, as it may be mended
        found = _in_short(error)
    return None if found is None else _told(kernel, device, "check", found)


def _in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _told(kernel: Kernel, device: torch.device, when: str, found: str) -> str:
    """What is wrong with a kernel, after a warning if it is the first one of a device."""
    if device not in _warned:
        _warned.add(device)
        log.warning(
            f"{torch.cuda.get_device_properties(device).name} computes without GPU kernels: {kernel} failed its {when} "
            f"({found}). PyTorch's operators take its place: the same numbers, but slower, and with more memory in "
            "training. `swinv2 doctor` says what is missing; SWINV2_KERNELS=off switches this check off."
        )
    return found


def _timed(kernel: Kernel, device: torch.device, work: str, trial: Callable[[bool], object]) -> bool:
    """Whether a kernel is no slower than PyTorch's operators; as it is remembered, else by trials."""
    name = f"{kernel}, {work}"
    times = _known_times(name, device)
    if times is None:
        times = {way: _seconds(partial(trial, way == "kernel"), device) for way in WAYS}
        times = _known_times(name, device) or times  # as another process has found it, if one was faster
        if all(map(math.isfinite, times.values())):  # too little memory may be by chance
            remembered.add(identity(device), {name: times})
    return times["kernel"] <= MARGIN * times["pytorch"]


def _known_times(name: str, device: torch.device) -> dict[str, float] | None:
    """Seconds of both ways as they are remembered; None if they are not."""
    times = remembered.read(identity(device)).get(name)
    is_sound = isinstance(times, dict) and all(isinstance(times.get(way), float | int) for way in WAYS)
    return times if is_sound else None


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """Least time of a call; without end if there is too little memory for it."""
    times = []
    try:
        for _ in range(1 + REPEATS):
            torch.cuda.synchronize(device)
            start = time.perf_counter()
            call()
            torch.cuda.synchronize(device)
            times.append(time.perf_counter() - start)
    except torch.OutOfMemoryError:
        return float("inf")
    return min(times[1:])
