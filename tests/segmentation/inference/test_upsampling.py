from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from segmentation.inference.upsampling import Axis, Strip, add_at_once, add_one_by_one


def whole(pixels, cells, length=None):
    """The samples of an axis with one window over all of it."""
    length = pixels if length is None else length
    return Axis(pixels, length, length, [0]).samples(0, cells)


@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 47), (3, 5), (1, 1)])
def test_one_window_equals_interpolate(height, width):
    """A tile over the whole image holds what bilinear interpolation of the coarse map gives."""
    coarse = torch.randn(5, -(-height // 4), -(-width // 4))
    expected = F.interpolate(coarse[None], size=(height, width), mode="bilinear", align_corners=False)[0]
    rows, columns = whole(height, coarse.shape[1]), whole(width, coarse.shape[2])
    tile = torch.zeros(height, width, 5)
    Strip(rows, [columns], [coarse.permute(1, 2, 0)]).add_to(tile, 0, 0)
    torch.testing.assert_close(tile.permute(2, 0, 1), expected)


def test_tile_is_part_of_the_whole():
    """A tile in the middle of the image holds the same as that part of a tile over everything."""
    strip = Strip(whole(40, 10), [whole(60, 15)], [torch.randn(10, 15, 3)])
    everything, part = torch.zeros(40, 60, 3), torch.zeros(9, 13, 3)
    strip.add_to(everything, 0, 0)
    strip.add_to(part, 17, 22)
    assert torch.equal(part, everything[17:26, 22:35])


def test_tile_may_reach_beyond_the_windows():
    """What a strip does not cover stays as it is."""
    rows = Axis(8, 8, 4, [0, 4]).samples(0, 1)
    columns = Axis(8, 8, 4, [0, 4]).samples(4, 1)
    tile = torch.zeros(8, 8, 1)
    Strip(rows, [columns], [torch.ones(1, 1, 1)]).add_to(tile, 0, 0)
    expected = torch.zeros(8, 8, 1)
    expected[:4, 4:] = 1
    assert torch.equal(tile, expected)


def test_resized_copy_is_read_at_the_pixels_of_the_image():
    """A map of a copy of another size goes to the size of the image in one interpolation."""
    coarse = torch.randn(1, 1, 9, 9)  # of a copy of 35 × 35 pixels
    expected = F.interpolate(coarse, size=(20, 20), mode="bilinear", align_corners=False)[0]
    samples = whole(20, 9, length=35)
    tile = torch.zeros(20, 20, 1)
    Strip(samples, [samples], [coarse[0].permute(1, 2, 0)]).add_to(tile, 0, 0)
    torch.testing.assert_close(tile.permute(2, 0, 1), expected)


def test_window_covers_its_own_pixels():
    """Where the copy is as large as the image, a window covers as many pixels as it is long."""
    axis = Axis(100, 100, 30, [0, 20, 70])
    assert [axis.covered(start) for start in axis.starts] == [(0, 30), (20, 50), (70, 100)]


def test_window_of_a_copy_covers_the_pixels_whose_centres_lie_in_it():
    """In a copy half as large, a window of 5 pixels from 5 on covers pixels 10 to 19; in one of 3/2, fewer."""
    assert Axis(40, 20, 5, [5]).covered(5) == (10, 20)
    assert Axis(40, 60, 5, [5]).covered(5) == (3, 7)  # centres 3.5 to 6.5 lie at 5.25 to 9.75


@pytest.mark.parametrize("length", [7, 50, 97, 100, 333, 1000])
def test_windows_side_by_side_share_no_pixel_and_leave_none_out(length):
    """Windows that touch cover each pixel of the image once, whatever the size of the copy."""
    window = max(length // 4, 1)
    starts = [*range(0, length - window, window), length - window]
    edges = [Axis(100, length, window, starts).covered(start) for start in starts[:-1]]
    assert edges[0][0] == 0
    assert all(end == begin for (_, end), (begin, _) in pairwise(edges))


def test_counts():
    """Each pixel counts the windows over it."""
    assert Axis(6, 6, 4, [0, 2]).counts.tolist() == [1, 1, 2, 2, 1, 1]


def test_weights_at_a_pixel_sum_to_one_over_all_windows():
    """What all windows over a pixel contribute is a mean."""
    axis = Axis(50, 70, 30, [0, 20, 40])
    total = torch.zeros(50)
    for start in axis.starts:
        samples = axis.samples(start, 8)
        total[samples.first : samples.last] += samples.near + samples.far
    torch.testing.assert_close(total, torch.ones(50))


def test_rows_at_once_or_one_by_one():
    """What suits a GPU and what suits a CPU add the same."""
    rows, cells = Axis(40, 40, 24, [0, 16]).samples(16, 6).cut(18, 31), torch.randn(6, 5, 3)
    one_by_one, at_once = torch.ones(13, 5, 3), torch.ones(13, 5, 3)
    begin = int(rows.lower[0])
    add_one_by_one(one_by_one, cells[begin:], rows, begin)
    add_at_once(at_once, cells[begin:], rows, begin)
    assert (one_by_one != 1).any()
    torch.testing.assert_close(at_once, one_by_one)
