"""What the backbone is told."""

import pytest

from swinv2 import SwinTransformerV2
from swinv2.arguments import window_per_stage


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


@pytest.mark.parametrize("checkpointing", [[True], [True, False, True]])
def test_checkpointing_is_a_word_or_one_a_stage(checkpointing):
    """Any other number of words is named."""
    with pytest.raises(ValueError, match="checkpointing is true, false, or one of them for each of 4 stages, got"):
        SwinTransformerV2(checkpointing=checkpointing)
