"""Boxes beside their images and segmentations."""

import pytest

from detection.data.box_checks import is_apart, is_far
from detection.data.coco_fields import Box, ImageRecord


@pytest.mark.parametrize(
    ("spans", "apart"),
    [
        (((10, 30), (5, 21)), False),
        (((12, 28), (7, 19)), False),
        (((10, 30),), False),
        (((0, 20), (5, 21)), True),
        (((10, 30), (20, 40)), True),
        (((40, 50),), True),
    ],
)
def test_spans_beside_a_box(spans, apart):
    """Columns, and rows where they are known, are compared with the box, but for two pixels at each edge."""
    assert is_apart(Box(7, 5, 10, 5, 20, 16, False), spans) is apart


@pytest.mark.parametrize(("width", "far"), [(50, False), (500, False), (5000, True), (-5000, False)])
def test_far_outside(width, far):
    """A box with a size may reach ten sides of the image out of it."""
    assert is_far(Box(7, 5, 10, 5, width, 16, False), ImageRecord(7, "7.png", 40, 60)) is far
