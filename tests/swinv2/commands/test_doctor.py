"""The text for a report."""

import re
from importlib import metadata
from pathlib import Path

import torch

from swinv2.commands import doctor


def lines():
    """What is reported, by what it is about."""
    return dict(re.split(r"  +", line, maxsplit=1) for line in doctor.report().splitlines())


def test_versions_and_machine():
    """Packages have their versions, and processor, cards, memory and disk are there."""
    found = lines()
    assert found["torch"] == metadata.version("torch")
    assert torch.backends.cpu.get_cpu_capability() in found["processor"]
    assert found["cards"].startswith(f"{torch.cuda.device_count()}, PyTorch is built for ")
    assert found["free disk here"].endswith(" GiB")


def test_missing_packages_are_named(monkeypatch):
    """Required ones and optional ones apart."""

    def version(package):
        if package in ("av", "swinv2", "timm"):
            raise metadata.PackageNotFoundError
        return "1.0"

    monkeypatch.setattr(metadata, "version", version)
    found = lines()
    assert (found["missing"], found["missing, optional"]) == ("av", "timm")
    assert found["swinv2"] == "not installed"


def test_all_that_is_required_is_reported():
    """The list is that of setup.py."""
    text = (Path(__file__).parents[3] / "setup.py").read_text()
    required = re.findall(r'"([^"]+)"', text[text.index("FOUR =") : text.index("TEST =")])
    assert {re.split(r"[>\[]", name)[0] for name in required} == set(doctor.REQUIRED)
