import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign

from detection.roi.roi_pool import Pyramid, RoIPool

STRIDES = (4, 8, 16, 32)


def pyramid(size, channels=5):
    """Random maps of a square image."""
    return [torch.randn(1, channels, size // s, size // s) for s in STRIDES]


def separately(*maps):
    """A batch of images, each of a size of its own."""
    return [Pyramid([i], own) for i, own in enumerate(maps)]


def random_boxes(count, size):
    """Boxes of all shapes within a square image."""
    corners = torch.rand(count, 2, 2) * size
    return torch.cat([corners.amin(dim=1), corners.amax(dim=1)], dim=1)


def test_equals_torchvisions_multi_scale_pooling():
    """With torchvision's sampling and offset, the bins of boxes on all levels are its own."""
    maps, boxes = [torch.randn(2, 5, 768 // s, 768 // s) for s in STRIDES], [random_boxes(n, 768) for n in (40, 30)]
    theirs = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)(
        dict(zip("0123", maps, strict=True)), boxes, [(768,) * 2] * 2
    )
    ours = RoIPool(STRIDES, sampling_ratio=2, aligned=False)([Pyramid([0, 1], maps)], boxes, 7)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("side", "level"), [(1, 0), (111, 0), (112, 1), (223, 1), (224, 2), (447, 2), (448, 3), (2000, 3)]
)
def test_larger_boxes_are_read_from_coarser_maps(side, level):
    """A box of 224 pixels belongs to the map of stride 16, and each doubling to the next one (FPN, eq. 1)."""
    assert RoIPool(STRIDES).levels(torch.tensor([[0.0, 0, side, side]])).tolist() == [level]


def test_aligned_bins_read_the_true_place():
    """On a map that holds its own x coordinate, a bin reads the x of its centre."""
    centres = (torch.arange(32) + 0.5) * 4  # pixels
    maps = [centres.expand(1, 1, 32, 32), *pyramid(128, channels=1)[1:]]
    bins = RoIPool(STRIDES)(separately(maps), [torch.tensor([[20.0, 30, 76, 90]])], 7)
    torch.testing.assert_close(bins[0, 0], (20 + 8 * (torch.arange(7) + 0.5)).expand(7, 7))


def test_level_that_is_not_read_changes_nothing():
    """The level that the pyramid adds for the RPN is left out, also for the largest boxes."""
    maps, boxes = pyramid(128), [torch.tensor([[0.0, 0, 900, 900]])]
    extra = [*maps, torch.randn(1, 5, 2, 2)]
    assert torch.equal(RoIPool(STRIDES)(separately(extra), boxes, 7), RoIPool(STRIDES)(separately(maps), boxes, 7))


def test_images_of_different_sizes_keep_their_maps():
    """Pooling a batch is pooling each image alone, images without boxes included."""
    pool, maps = RoIPool(STRIDES), [pyramid(128), pyramid(64), pyramid(256)]
    boxes = [random_boxes(5, 128), torch.zeros(0, 4), random_boxes(3, 256)]
    alone = torch.cat([pool(separately(maps[0]), [boxes[0]], 7), pool(separately(maps[2]), [boxes[2]], 7)])
    assert torch.equal(pool(separately(*maps), boxes, 7), alone)


def test_half_precision_maps_keep_their_type():
    """Bins are computed in float32 and come back in the type of the maps."""
    maps, boxes = pyramid(128), random_boxes(4, 128)
    half = RoIPool(STRIDES)(separately([x.bfloat16() for x in maps]), [boxes], 7)
    full = RoIPool(STRIDES)(separately([x.bfloat16().float() for x in maps]), [boxes], 7)
    assert torch.equal(half, full.bfloat16())
