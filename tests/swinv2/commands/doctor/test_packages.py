"""Versions of what is in use."""

import re
from importlib import metadata
from pathlib import Path

from swinv2.commands.doctor.packages import REQUIRED, packages


def test_versions():
    """Packages have their versions, and none that is here is missing."""
    found = {finding.name: finding for finding in packages()}
    assert found["torch"].text == metadata.version("torch")
    assert "missing" not in found


def test_missing_packages_are_named(monkeypatch):
    """Required ones, which is wrong, and optional ones apart."""

    def version(package):
        if package in ("av", "swinv2", "timm"):
            raise metadata.PackageNotFoundError
        return "1.0"

    monkeypatch.setattr(metadata, "version", version)
    found = {finding.name: finding for finding in packages()}
    assert (found["missing"].text, found["missing"].wrong) == ("av; pip install av", True)
    assert (found["missing, optional"].text, found["missing, optional"].wrong) == ("timm", False)
    assert found["swinv2"].text == "not installed"


def test_all_that_is_required_is_reported():
    """The list is that of setup.py."""
    text = (Path(__file__).parents[4] / "setup.py").read_text()
    required = re.findall(r'"([^"]+)"', text[text.index("FOUR =") : text.index("TEST =")])
    assert {re.split(r"[>\[]", name)[0] for name in required} == set(REQUIRED)
