"""Each device checked in processes of its own, so that what ends them is told and does not end the report.

An illegal access on a GPU leaves no use of it to the process, and an illegal instruction of a library ends it.
"""

from collections.abc import Iterator, Mapping

import torch

from .engine_check import check_engine
from .finding import Finding
from .processes import findings_of, tell
from .rates import check_rates

WAYS: Mapping[str, str] = {"on": "kernels", "off": "no kernels", "auto": "as chosen"}  # SWINV2_KERNELS


def devices() -> list[str]:
    """All devices that PyTorch can use."""
    found = ["cpu"]
    if torch.accelerator.is_available():
        kind = torch.accelerator.current_accelerator()
        assert kind is not None
        found += [f"{kind.type}:{i}" for i in range(torch.accelerator.device_count())]
    return found


def check_device(device: str) -> Iterator[Finding]:
    """Rates of a device, and of its engines whether they compute what the plain form does.

    Args:
        device: such as cpu or cuda:0.
    """
    kind = torch.device(device).type
    if kind != "cuda":
        yield from job(device, "cpu" if kind == "cpu" else "auto", f"{device}, engine", {}, rates=True)
        return
    for i, (value, way) in enumerate(WAYS.items()):
        yield from job(device, "gpu", f"{device}, {way}", {"SWINV2_KERNELS": value}, rates=i == 0)


def job(device: str, engine: str, label: str, environment: Mapping[str, str], rates: bool) -> Iterator[Finding]:
    """Findings of a process about one engine.

    Args:
        device: that it computes on.
        engine: its name.
        label: name of the findings.
        environment: variables of the process beside those of this one.
        rates: whether the rates of the device are measured first.
    """
    return findings_of(f"{__name__}:main", [device, engine, label, "rates" * rates], label, environment)


def main(device: str, engine: str, label: str, rates: str) -> None:
    """Tell the findings of one job; arguments as of `job`."""
    place = torch.device(device)
    if rates:
        tell(check_rates(place, device))
    tell(check_engine(place, engine, label))
