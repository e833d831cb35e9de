import pytest
import torch

from swinv2.engines.gpu.sizes import SMALL, power_of_two, programs, tile


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("slots", [1, 16, 17, 49, 64])
def test_small_windows_are_one_tile(slots, dtype):
    """A tile holds a window of up to 64 slots, and its sides are powers of two that matrix units take."""
    side = tile(slots, 32, dtype).rows
    assert max(slots, 16) <= side <= max(2 * slots, 16)
    assert side & (side - 1) == 0


def test_large_windows_are_many_tiles():
    """The tile does not grow with the window."""
    assert tile(SMALL + 1, 32, torch.bfloat16) == tile(1024, 32, torch.bfloat16)


@pytest.mark.parametrize(("number", "power"), [(1, 16), (16, 16), (17, 32), (24, 32), (128, 128)])
def test_powers_of_two(number, power):
    """Never less than matrix units take."""
    assert power_of_two(number) == power


@pytest.mark.parametrize(("items", "beside", "expected"), [(1, 1, 1), (3, 1, 3), (5, 1, 3), (100, 1, 4), (9, 7, 1)])
def test_programs_share_evenly(items, beside, expected):
    """There are no more programs than there is room for, and none has much less to do than others."""
    assert programs(items, beside, torch.device("cpu")) == expected
