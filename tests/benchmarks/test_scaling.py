import pytest

from benchmarks.scaling_report import draw, fitted, report

FOUND = {
    "sides": [
        {
            "window": window,
            "side": side,
            "seconds": {"ours": side**2 * 1e-6, "timm": side**3 * 1e-8},
            "peak": {"ours": 1e-7 * side**2, "timm": 1e-6 * side**2},
        }
        for window in (8, 16)
        for side in (256, 512, 1024)
    ],
    "windows": [
        {
            "window": window,
            "side": 1024,
            "seconds": {"ours": 1.0, "timm": window / 8},
            "peak": {"ours": 1.0, "timm": 2.0},
        }
        for window in (8, 16)
    ],
}


def test_report_has_exponents_and_ratios():
    """Linear growth has the exponent 1; parts that were not measured are left out."""
    text = report(FOUND, rounds=3)
    assert "ours, window 8: 1.00" in text
    assert "timm, window 16: 1.50" in text
    assert "Size of the window" not in report({"sides": FOUND["sides"]}, rounds=3)


def test_pictures_are_drawn(tmp_path):
    """One of sides and one of windows."""
    draw(FOUND, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"scaling_{kind}.png" for kind in ("sides", "windows")}


def test_exponent_of_a_power_law():
    """Found whatever the factor."""
    assert fitted([(x, 5 * x**1.7) for x in (1.0, 3.0, 10.0)]) == pytest.approx(1.7)
