"""Cutting grids into windows."""

import itertools
import math

import pytest
import torch

from swinv2.windows import axis_starts, cut

CPU = torch.device("cpu")
GRIDS = [
    ((13,), (4,)),
    ((16, 16), (8, 8)),
    ((9, 11), (4, 4)),
    ((5, 20), (8, 8)),
    ((8, 7, 9), (4, 3, 7)),
    ((3, 4, 4), (8, 2, 4)),
    ((7, 9, 5), (3, 5, 2)),
    ((1, 1), (8, 8)),
]


@pytest.mark.parametrize(
    ("size", "shifted", "starts"),
    [
        (20, False, [0, 8, 16, 20]),
        (20, True, [0, 4, 12, 20]),
        (22, True, [0, 4, 12, 20, 22]),
        (8, True, [0, 8]),
        (3, True, [0, 3]),
    ],
)
def test_segments_worked_by_hand(size, shifted, starts):
    """Segments of an axis cut in windows of 8."""
    assert axis_starts(size, 8, shifted, CPU).tolist() == starts


@pytest.mark.parametrize("window", [1, 2, 3, 8])
@pytest.mark.parametrize("shifted", [False, True])
def test_segments_fill_the_axis(window, shifted):
    """Of any axis, segments have at least one token, no more than the window, and nothing is left out."""
    for size in range(1, 40):
        starts = axis_starts(size, window, shifted, CPU)
        assert (starts[0], starts[-1]) == (0, size)
        assert 1 <= starts.diff().min() <= starts.diff().max() <= window


@pytest.mark.parametrize(("size", "window"), GRIDS)
@pytest.mark.parametrize("shifted", [False, True])
def test_windows_hold_the_tokens_of_one_segment_each(size, window, shifted):
    """Two tokens share a window if they lie in the same segment of every axis, at slots as far apart as they are."""
    windows = cut(size, window, shifted, CPU)
    places = list(itertools.product(*(range(s) for s in size)))
    shifts = [w // 2 if shifted and s > w else 0 for s, w in zip(size, window, strict=True)]
    regions = [tuple((p - d) // w for p, d, w in zip(place, shifts, window, strict=True)) for place in places]
    slots = list(itertools.product(*(range(w) for w in windows.shape)))
    found = {}
    for row, filled in zip(windows.token.tolist(), windows.filled.tolist(), strict=True):
        tokens = [(token, slot) for token, slot, has_one in zip(row, slots, filled, strict=True) if has_one]
        assert len({regions[token] for token, _ in tokens}) == 1
        found[regions[tokens[0][0]]] = len(tokens)
        (first, start), *_ = tokens
        for token, slot in tokens:
            offset = [a - b for a, b in zip(places[token], places[first], strict=True)]
            assert offset == [a - b for a, b in zip(slot, start, strict=True)]
    assert found == {region: regions.count(region) for region in regions}


@pytest.mark.parametrize(("size", "window"), GRIDS)
@pytest.mark.parametrize("shifted", [False, True])
def test_slots_and_back(size, window, shifted):
    """Tokens come back from their slots, whatever stands in empty ones, in values and gradients."""
    windows = cut(size, window, shifted, CPU)
    x = torch.randn(2, math.prod(size), 3, dtype=torch.float64, requires_grad=True)
    slots = windows.gather(x)
    assert (slots.detach() == 0)[:, ~windows.filled].all()
    back = windows.scatter(slots + torch.where(windows.filled, 0.0, 9.0)[None, ..., None])
    assert torch.equal(back, x)
    grad = torch.randn_like(back)
    assert torch.equal(torch.autograd.grad(back, x, grad)[0], grad)


def test_a_cut_made_in_inference_mode_serves_training():
    """What is remembered of one serves the other."""
    with torch.inference_mode():
        cut((9, 10), (4, 4), False, CPU)
    x = torch.randn(1, 90, 2, requires_grad=True)
    cut((9, 10), (4, 4), False, CPU).gather(x).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))
