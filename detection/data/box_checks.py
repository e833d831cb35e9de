"""Whether a box can be that of an object in its image, and of its segmentation."""

from detection.data.coco_fields import Box, ImageRecord, Number
from detection.data.segmentation_checks import FAR, Spans

SLACK = 2  # pixels by which annotators miss a border
SHARED = 0.5  # of the widths, or of the heights, of box and segmentation together


def has_size(box: Box) -> bool:
    """Whether a box has area, wherever it lies."""
    return box.width > 0 and box.height > 0


def is_far(box: Box, record: ImageRecord) -> bool:
    """Whether a box has area and reaches further outside of its image than anything is."""
    outside = FAR * max(record.height, record.width)
    edges = box.left, box.top, box.left + box.width, box.top + box.height
    return has_size(box) and (min(edges) < -outside or max(edges) > outside)


def is_apart(box: Box, spans: Spans) -> bool:
    """Whether a segmentation does not span what its box does, along x or along y.

    Args:
        box: with area.
        spans: where the segmentation lies, see `examine`.
    """
    if shares_little(box.left, box.left + box.width, *spans[0]):
        return True
    return len(spans) > 1 and shares_little(box.top, box.top + box.height, *spans[1])


def shares_little(start: Number, end: Number, first: Number, last: Number) -> bool:
    """Whether two intervals are mostly not the same, by more than annotators miss."""
    if -SLACK <= first - start <= SLACK and -SLACK <= last - end <= SLACK:
        return False
    return min(end, last) - max(start, first) < SHARED * (max(end, last) - min(start, first))
