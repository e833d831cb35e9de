"""The report of `swinv2 doctor`."""

from collections.abc import Iterator

from .cards import cards
from .compiler import kernel_tools
from .decoders import decoders
from .devices import check_device, devices
from .finding import Finding, line, summary
from .machine import machine
from .packages import packages


def report(device: str | None = None, train: float | None = None) -> bool:
    """Print all lines as they are found, and say whether everything works.

    Args:
        device: the one that is checked, such as cpu or cuda:1; all if None.
        train: seconds that each quickstart is trained for; None for no training.

    Raises:
        ValueError: there is no such device.
    """
    found = []
    for finding in findings(device, train):
        found.append(finding)
        print(line(finding), flush=True)
    print(summary(found))
    return not any(finding.wrong for finding in found)


def findings(device: str | None, train: float | None) -> Iterator[Finding]:
    """All lines of the report; arguments as of `report`."""
    there = devices()
    if device not in (None, *there):
        raise ValueError(f"--device {device} is not here; PyTorch can use {', '.join(there)}. Give one of them.")
    yield from packages()
    yield from machine()
    yield from cards()
    yield from kernel_tools(needed=any(one.startswith("cuda") for one in there))
    yield from decoders()
    for one in [device] if device else there:
        yield from check_device(one)
    if train is not None:
        from .quickstarts import train_quickstarts  # imports Lightning, which takes seconds

        yield from train_quickstarts(device or there[-1], train)
