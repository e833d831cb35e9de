import pytest
import torch

from swinv2.engines.gpu.kernels.sizes import SMALL, SUMS, in_one_tile, power_of_two, precision, programs, sums, tile

CPU = torch.device("cpu")


@pytest.mark.parametrize("products", ["ieee", "tf32"])
@pytest.mark.parametrize("slots", [1, 16, 17, 49, 64])
def test_small_windows_are_one_tile(slots, products):
    """A tile holds a window of up to 64 slots, and its sides are powers of two that matrix units take."""
    side = tile(slots, 32, torch.float32, products).rows
    assert max(slots, 16) <= side <= max(2 * slots, 16)
    assert side & (side - 1) == 0


def test_large_windows_are_many_tiles():
    """The tile does not grow with the window."""
    assert tile(SMALL + 1, 32, torch.bfloat16, "tf32") == tile(4096, 32, torch.bfloat16, "tf32")


def test_wide_heads_take_small_windows_by_many_tiles():
    """One tile of all their channels would not fit into registers."""
    assert in_one_tile(64, 32)
    assert not in_one_tile(64, 33)
    assert tile(64, 64, torch.bfloat16, "tf32").columns < 64


@pytest.mark.parametrize(("number", "power"), [(1, 16), (16, 16), (17, 32), (24, 32), (128, 128)])
def test_powers_of_two(number, power):
    """Never less than matrix units take."""
    assert power_of_two(number) == power


@pytest.mark.parametrize(("items", "beside", "expected"), [(1, 1, 1), (3, 1, 3), (5, 1, 3), (100, 1, 4), (9, 7, 1)])
def test_programs_share_evenly(items, beside, expected):
    """There are no more programs than there is room for, and none has much less to do than others."""
    assert programs(items, beside, CPU, 4) == expected


@pytest.mark.parametrize(("shared", "numbers", "expected"), [(5, 100, 5), (5, SUMS // 3, 3), (5, 2 * SUMS, 1)])
def test_sums_fit_into_memory(shared, numbers, expected):
    """Programs with large sums are fewer, and at least one."""
    assert sums(shared, numbers) == expected


@pytest.fixture
def restored():
    """PyTorch's precision of matrices as it was."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(("setting", "products"), [("highest", "ieee"), ("high", "tf32"), ("medium", "tf32")])
def test_float32_follows_pytorch(setting, products, restored):
    """Whoever allows TF32 in matrix products has it in the kernels."""
    torch.set_float32_matmul_precision(setting)
    assert precision(torch.float32) == products


@pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="PyTorch before 2.9")
@pytest.mark.parametrize(("setting", "products"), [("ieee", "ieee"), ("tf32", "tf32")])
def test_float32_follows_the_newer_setting(setting, products):
    """PyTorch refuses to tell by the older name what was set by the newer one."""
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = setting
    try:
        assert precision(torch.float32) == products
    finally:
        torch.backends.cuda.matmul.fp32_precision = before
