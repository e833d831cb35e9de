"""Graphics cards, their driver, and why PyTorch does not see one that is there."""

import os
import re
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from .finding import Finding
from .machine import GIB

SECONDS = 20  # for a driver to answer
VERSIONS = re.compile(r"Driver Version: (\S+)\s+CUDA Version: (\S+)")
GET = "see pytorch.org/get-started"


class Driver(NamedTuple):
    """What NVIDIA's driver says of itself.

    Attributes:
        version: of the driver.
        cuda: latest CUDA that it runs.
        cards: names of the cards.
    """

    version: str
    cuda: str
    cards: tuple[str, ...]


def cards() -> Iterator[Finding]:
    """Each card that PyTorch sees, the driver, and what to do about cards that it does not see or cannot use."""
    built = {"CUDA": torch.version.cuda, "ROCm": torch.version.hip}
    text = " ".join(f"{name} {version}" for name, version in built.items() if version) or "the CPU alone"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    yield Finding("cards", f"{number}, PyTorch is built for {text}")
    driver = nvidia_driver()
    if driver is not None:
        yield Finding("driver", f"{driver.version}, runs CUDA {driver.cuda} at most")
    if number == 0:
        reason = str(said[0].message).strip().splitlines()[0] if said else ""
        if problem := unseen(driver, reason):
            yield Finding("unseen card", problem, wrong=True)
        return
    found = [torch.cuda.get_device_properties(card) for card in range(number)]
    for i, card in enumerate(found):
        kind = card.gcnArchName if torch.version.hip else f"sm_{card.major}{card.minor}"
        parts = f"{card.multi_processor_count} multiprocessors"
        yield Finding(f"card {i}", f"{card.name}, {card.total_memory / GIB:.1f} GiB, {kind}, {parts}")
        if problem := unsupported(card.major, card.minor):
            yield Finding(f"card {i}", problem, wrong=True)
    if len({card.name for card in found}) > 1:
        text = "a training on all of them waits for the slowest, and each must hold the batch; --trainer.devices 0, or "
        yield Finding("different cards", f"{text}--trainer.devices 1, takes one")


def nvidia_driver() -> Driver | None:
    """What nvidia-smi says; None if it is not there or finds no card."""
    if not shutil.which("nvidia-smi"):
        return None
    said = VERSIONS.search(answer("nvidia-smi"))
    names = answer("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()
    return Driver(said[1], said[2], tuple(name.strip() for name in names)) if said else None


def answer(*command: str) -> str:
    """What a program prints; empty if it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def unseen(driver: Driver | None, reason: str) -> str | None:
    """Why PyTorch sees no card, and what to do; None if there is no sign of one.

    Args:
        driver: NVIDIA's.
        reason: what PyTorch warned of, if it did.
    """
    if driver is None:
        if Path("/dev/kfd").exists() and torch.version.hip is None:
            return f"an AMD card is there, but PyTorch is not built for ROCm: install one that is, {GET}"
        return f"PyTorch says: {reason}" if reason else None
    there = f"the driver knows {', '.join(driver.cards) or 'a card'}, but PyTorch"
    if torch.version.cuda is None:
        return f"{there} is not built for CUDA: install one for CUDA {driver.cuda} or earlier, {GET}"
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return f"{there} must not see it: unset CUDA_VISIBLE_DEVICES"
    if int(driver.cuda.split(".")[0]) < int(torch.version.cuda.split(".")[0]):
        need = f"the driver runs CUDA {driver.cuda} at most, PyTorch needs {torch.version.cuda}"
        return f"{need}: install a later driver, or PyTorch for CUDA {driver.cuda} or earlier, {GET}"
    return f"{there} cannot use it ({reason or 'no reason given'}): restart the machine or install the driver anew"


def unsupported(major: int, minor: int) -> str | None:
    """What to install if this PyTorch has no code for a card of NVIDIA; None if it has.

    Args:
        major: first number of the card's capability.
        minor: second number.
    """
    kinds = [re.fullmatch(r"(sm|compute)_(\d+)(\d)\w?", kind) for kind in torch.cuda.get_arch_list()]
    known = [(kind[1], int(kind[2]), int(kind[3])) for kind in kinds if kind]  # none for ROCm
    here = major, minor
    runs = [at == major and step <= minor if kind == "sm" else (at, step) <= here for kind, at, step in known]
    if any(runs) or not known:
        return None
    return f"this PyTorch has no code for sm_{major}{minor}, only for {', '.join(torch.cuda.get_arch_list())}: {GET}"
