"""Cutting grids into windows."""

import itertools

import pytest
import torch

from swinv2.windows import axis_runs, axis_starts, cut, grid_cut, window_per_stage

CPU = torch.device("cpu")
GRIDS = [
    ((13,), (4,)),
    ((16, 16), (8, 8)),
    ((9, 11), (4, 4)),
    ((5, 20), (8, 8)),
    ((8, 7, 9), (4, 3, 7)),
    ((3, 4, 4), (8, 2, 4)),
    ((7, 9, 5), (3, 5, 2)),
]


@pytest.mark.parametrize(
    ("size", "shifted", "runs"),
    [
        (20, False, [(0, 2, 8), (16, 1, 4)]),
        (20, True, [(0, 1, 4), (4, 2, 8)]),
        (22, False, [(0, 2, 8), (16, 1, 6)]),
        (22, True, [(0, 1, 4), (4, 2, 8), (20, 1, 2)]),
        (8, True, [(0, 1, 8)]),
        (3, True, [(0, 1, 3)]),
    ],
)
def test_segments_worked_by_hand(size, shifted, runs):
    """Segments of an axis cut in windows of 8."""
    assert axis_runs(size, 8, shifted, "fixed") == runs


@pytest.mark.parametrize(
    ("size", "shifted", "starts"),
    [
        (50, False, [0, 13, 26, 38, 50]),
        (50, True, [0, 6, 19, 32, 44, 50]),
        (48, False, [0, 16, 32, 48]),
        (48, True, [0, 8, 24, 40, 48]),
        (17, False, [0, 9, 17]),
        (16, True, [0, 16]),
    ],
)
def test_balanced_segments_worked_by_hand(size, shifted, starts):
    """Balanced segments of an axis in windows of 16, and the cuts through their middles; multiples stay as they are."""
    assert axis_starts(size, 16, shifted, "balanced", CPU).tolist() == starts


@pytest.mark.parametrize("window", [1, 2, 3, 8])
@pytest.mark.parametrize("fit", ["fixed", "balanced"])
@pytest.mark.parametrize("shifted", [False, True])
def test_segments_fill_the_axis_and_the_tile(window, fit, shifted):
    """Of any axis, segments have at least one token, no more than the tile, and nothing is left out."""
    for size in range(1, 40):
        starts = axis_starts(size, window, shifted, fit, CPU)
        (tile,) = grid_cut(1, (size,), (window,), shifted, fit, CPU).window
        lengths = starts.diff()
        assert (starts[0], starts[-1]) == (0, size)
        assert lengths.min() >= 1
        assert lengths.max() <= tile <= window


@pytest.mark.parametrize(("size", "window"), GRIDS)
@pytest.mark.parametrize("shifted", [False, True])
def test_windows_hold_the_tokens_of_one_segment_each(size, window, shifted):
    """Two tokens share a window if they lie in the same segment of every axis, and windows keep the grid's order."""
    batch = 2
    one = cut(batch, size, window, shifted, "fixed", CPU)
    places = list(itertools.product(range(batch), *(range(s) for s in size)))

    def region(place):
        shifts = [w // 2 if shifted and s > w else 0 for s, w in zip(size, window, strict=True)]
        return (place[0], *((p - d) // w for p, d, w in zip(place[1:], shifts, window, strict=True)))

    windows, start = [], 0
    for shape, count in one.groups:
        for _ in range(count):
            tokens = torch.tensor(shape).prod().item()
            windows.append([places[i] for i in one.order[start : start + tokens].tolist()])
            start += tokens
    expected = {key: list(group) for key, group in itertools.groupby(sorted(places, key=region), region)}
    assert sorted(windows) == sorted(sorted(group) for group in expected.values())


@pytest.mark.parametrize("rows", [1, 10, 64, 10_000])
def test_parts_are_whole_windows_and_cover_everything(rows):
    """Parts follow each other, are as full as whole windows allow, and know the images of their tokens."""
    whole = cut(2, (20, 22), (8, 8), True, "fixed", CPU)
    start, windows = 0, {}
    for places, part in whole.parts(rows):
        sizes = [shape[0] * shape[1] for shape, count in part.groups for _ in range(count)]
        assert places.start == start
        assert places.stop - places.start == sum(sizes)
        assert sum(sizes) <= rows or len(sizes) == 1
        assert torch.equal(part.image, whole.image[places])
        for shape, count in part.groups:
            windows[shape] = windows.get(shape, 0) + count
        start = places.stop
    assert start == 2 * 20 * 22
    assert tuple(windows.items()) == whole.groups
    assert len(list(whole.parts(rows))) == {1: 24, 10: 24, 64: 14, 10_000: 1}[rows]


@pytest.mark.parametrize(
    ("window", "axes", "expected"),
    [
        (8, 2, [(8, 8)] * 4),
        ((8, 7, 7), 3, [(8, 7, 7)] * 4),
        ([30, 30, 30, 15], 2, [(30, 30), (30, 30), (30, 30), (15, 15)]),
        ([[8, 4], [8, 4], 4, [2, 2]], 2, [(8, 4), (8, 4), (4, 4), (2, 2)]),
    ],
)
def test_windows_by_axis_and_by_stage(window, axes, expected):
    """One number, one per axis, one per stage, or one per stage and axis."""
    assert window_per_stage(window, 4, axes, "window_size") == expected


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ((8, 8), r"needs one number per axis, got \(8, 8\) for a 3-axis video model.*use e.g. \(8, 7, 7\)"),
        ([[8, 8]] * 4, "one number per axis"),
        ((8, 0, 8), "positive numbers"),
    ],
)
def test_windows_that_fit_neither_axes_nor_stages(window, message):
    """The error says what was given and what is needed."""
    with pytest.raises(ValueError, match=message):
        window_per_stage(window, 4, 3, "window_size")
