import types
from collections import Counter

import pytest
import torch
from torch import nn

from benchmarks import sweep, timing
from benchmarks.scaling import build, square
from benchmarks.sweep import draw, relative, report

FOUND = {
    "8": [{"side": side, "seconds": side**2 * (1.5e-6 if side == 232 else 1e-6)} for side in range(224, 264, 8)],
    "single8": [{"side": side, "seconds": side**2 * 2e-6} for side in (224, 232)],
}


def test_report_has_cliffs():
    """The one slow side is found; parts that were not measured are left out."""
    text = report(FOUND)
    assert "| 232 | 1.50 |" in text
    assert "1 of 5 sides take more than 1.3" in text
    assert "0 of 2 sides take more than 1.3" in text
    assert "Every side, window 16" not in text


def test_picture_has_a_line_for_each_part():
    """And the goal."""
    assert [line.get_label() for line in draw(FOUND).axes[0].lines] == [
        "every side, window 8",
        "single images, window 8",
        "goal 1.3",
    ]


def test_relative_time_is_by_pixel():
    """Twice the side in four times the time is the same speed."""
    assert relative([{"side": 100, "seconds": 1.0}, {"side": 200, "seconds": 4.0}]) == {100: 1.0, 200: 1.0}


@pytest.mark.parametrize("seconds", [0.01, 0.2, 5.0])
@pytest.mark.parametrize("pixels, images", [(1, 1), (256, 1), (1000, 4)])
def test_first_call_of_a_side_does_not_count(seconds, pixels, images, monkeypatch):
    """It lays out the windows; so it is for short calls, timed several times, and for long ones, timed once."""
    clock, calls = [0.0], []
    monkeypatch.setattr(timing, "time", types.SimpleNamespace(perf_counter=lambda: clock[0]))

    def model(given):
        calls.append(given.shape)
        clock[0] += images * (10 * seconds if len(calls) == 1 else seconds)

    assert sweep.timed(model, 16, pixels) == pytest.approx(seconds)
    assert set(calls) == {(images, 3, 16, 16)}


@pytest.mark.parametrize("side", [64, 232, 264])
def test_products_are_those_of_the_model(side, monkeypatch):
    """Every linear layer on as many tokens, whether they fit into one part (58 x 58) or not (66 x 66)."""
    model, seen = build("ours", square(8, 64)), Counter()
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and "cpb_mlp" not in name:
            layer.register_forward_hook(lambda layer, args, out: seen.update({layer: args[0].numel()}))
    monkeypatch.setattr(sweep, "multiplied_by", lambda layer: lambda x: seen.update({layer: x.numel()}))
    with torch.inference_mode():
        model(torch.randn(1, 3, side, side))
        whole = seen.copy()
        seen.clear()
        sweep.Products(model)(torch.randn(1, 3, side, side))
    assert seen == whole
    assert len(seen) == 12 * 4 + 3


def test_a_sweep_compares_with_the_reference_and_goes_on_with_the_slowest_and_the_fastest(monkeypatch):
    """A machine that gets slower does not count, nor one disturbance; sides at the ends are timed more often."""
    sides, calls, clock = range(100, 200), Counter(), [1.0]

    def timed(model, side, pixels):
        if side != sweep.REFERENCE:
            clock[0] *= 1.001
            calls[side] += 1
            if (side, calls[side]) in ((100, 3), (199, 4)):
                return 10.0 * clock[0] * side**3
        return clock[0] * side**3

    monkeypatch.setattr(sweep, "timed", timed)
    points = sweep.sweep(nn.Identity(), sides, 1)
    assert [point["side"] for point in points] == [*sides]
    scale = points[0]["seconds"] / 100**3
    assert scale > 1
    assert all(point["seconds"] / point["side"] ** 3 == pytest.approx(scale, rel=1e-9) for point in points)
    ends = {*sides[: sweep.ENDS], *sides[-sweep.ENDS :]}
    assert all(calls[side] == 1 + (sweep.MORE if side in ends else 0) for side in sides)
