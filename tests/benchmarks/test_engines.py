"""The benchmark of engines."""

from pathlib import Path

import pytest

from benchmarks import engines


def test_report_compares_with_the_other_checkout():
    """Time and memory, beside each other."""
    found = {"T-w8, 224², prepared": [(0.050, 0.20), (0.051, 0.10)]}
    text = engines.report(found, Path("nowhere"))
    assert "| T-w8, 224², prepared | 50.0 | 51.0 | 1.02 | 0.20 | 0.10 | 0.50 |" in text
    alone = engines.report({"T-w8, 224², prepared": [(0.051, 0.10)]}, None)
    assert "| T-w8, 224², prepared | 51.0 | 0.10 |" in alone


@pytest.mark.parametrize("mode", sorted({case.mode for case in engines.CASES.values()}))
def test_each_mode_runs(mode, monkeypatch):
    """On a small image."""
    monkeypatch.setattr(engines, "SECONDS", 0.0)
    seconds, _ = engines.measure(engines.Case(engines.TINY8, (1, 3, 64, 64), mode))
    assert seconds > 0
