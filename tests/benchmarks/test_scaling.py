import types
from collections import Counter

import pytest

from benchmarks import scaling, timing
from benchmarks.scaling_report import draw, fitted, relative, report

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
    "sweep8": [{"side": side, "seconds": side**2 * (1.5e-6 if side == 232 else 1e-6)} for side in range(224, 264, 8)],
    "balanced": [{"window": 16, "side": 264, "seconds": {"fixed": 2.0, "balanced": 1.5}}],
}


def test_report_has_exponents_cliffs_and_ratios():
    """Linear growth has the exponent 1; the one slow side is found; parts that were not measured are left out."""
    text = report(FOUND, rounds=3)
    assert "ours, window 8: 1.00" in text
    assert "timm, window 16: 1.50" in text
    assert "| 232 | 1.50 |" in text
    assert "1 of 5 sides take more than 1.3" in text
    assert "| 16 | 264 | 2.000 | 1.500 | 0.75 |" in text
    assert "Every side, window 16" not in text


def test_pictures_are_drawn(tmp_path):
    """One for each of sides, windows and sweeps."""
    draw(FOUND, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"scaling_{kind}.png" for kind in ("sides", "windows", "sweep")
    }


def test_relative_time_is_by_pixel():
    """Twice the side in four times the time is the same speed."""
    assert relative([{"side": 100, "seconds": 1.0}, {"side": 200, "seconds": 4.0}]) == {100: 1.0, 200: 1.0}


def test_exponent_of_a_power_law():
    """Found whatever the factor."""
    assert fitted([(x, 5 * x**1.7) for x in (1.0, 3.0, 10.0)]) == pytest.approx(1.7)


@pytest.mark.parametrize("seconds", [0.01, 0.2, 5.0])
def test_first_call_of_a_side_does_not_count(seconds, monkeypatch):
    """It lays out the windows; so it is for small sides, timed several times, and for large ones, timed once."""
    clock, calls = [0.0], []
    monkeypatch.setattr(timing, "time", types.SimpleNamespace(perf_counter=lambda: clock[0]))

    def model(images):
        calls.append(images.shape)
        clock[0] += 10 * seconds if len(calls) == 1 else seconds

    assert scaling.timed(model, 16) == pytest.approx(seconds)
    assert set(calls) == {(1, 3, 16, 16)}


def test_a_sweep_compares_with_the_reference_and_goes_on_with_the_slowest_and_the_fastest(monkeypatch):
    """A machine that gets slower does not count, nor one disturbance; sides at the ends are timed more often."""
    sides, calls, clock = range(100, 200), Counter(), [1.0]

    def timed(model, side):
        if side != scaling.REFERENCE:
            clock[0] *= 1.001
            calls[side] += 1
            if (side, calls[side]) in ((100, 3), (199, 4)):
                return 10.0 * clock[0] * side**3
        return clock[0] * side**3

    monkeypatch.setattr(scaling, "build", lambda whose, work: None)
    monkeypatch.setattr(scaling, "timed", timed)
    points = scaling.sweep(8, sides)
    assert [point["side"] for point in points] == [*sides]
    scale = points[0]["seconds"] / 100**3
    assert scale > 1
    assert all(point["seconds"] / point["side"] ** 3 == pytest.approx(scale, rel=1e-9) for point in points)
    ends = {*sides[: scaling.ENDS], *sides[-scaling.ENDS :]}
    assert all(calls[side] == scaling.PASSES + (scaling.MORE if side in ends else 0) for side in sides)
