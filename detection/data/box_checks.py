"""Checks of a box: its area, its place in the image, and its overlap with the segmentation."""

from detection.data.coco_fields import Box, ImageRecord, Number
from detection.data.segmentation_checks import FAR, Spans

SLACK = 2  # pixels by which annotations may miss a border
SHARED = 0.5  # least overlap of box and segmentation along an axis, as a share of their union


def has_size(box: Box) -> bool:
    """Whether a box has area, wherever it lies."""
    return box.width > 0 and box.height > 0


def is_far(box: Box, record: ImageRecord) -> bool:
    """Whether a box has area and reaches more than `FAR` times the image's longer side outside of it."""
    outside = FAR * max(record.height, record.width)
    edges = box.left, box.top, box.left + box.width, box.top + box.height
    return has_size(box) and (min(edges) < -outside or max(edges) > outside)


def is_apart(box: Box, spans: Spans) -> bool:
    """Whether a box and its segmentation overlap too little, along x or along y.

    Args:
        box: a box with area.
        spans: extent of the segmentation, see `examine`.
    """
    if shares_little(box.left, box.left + box.width, *spans[0]):
        return True
    return len(spans) > 1 and shares_little(box.top, box.top + box.height, *spans[1])


def shares_little(start: Number, end: Number, first: Number, last: Number) -> bool:
    """Whether the ends of two intervals differ by more than `SLACK` and the overlap is below `SHARED` of the union."""
    if -SLACK <= first - start <= SLACK and -SLACK <= last - end <= SLACK:
        return False
    return min(end, last) - max(start, first) < SHARED * (max(end, last) - min(start, first))
