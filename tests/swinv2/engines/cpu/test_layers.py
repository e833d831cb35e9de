"""The two halves of a block, forward and backward."""

import pytest
import torch
import torch.nn.functional as F

from swinv2.engines.cpu import layers as half_blocks
from swinv2.engines.cpu.layers import LinearRows, NormedSum, product


@pytest.mark.parametrize("avx2", [False, True])
@pytest.mark.parametrize("packs", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_product_is_that_of_a_linear_layer(dtype, transposed, packs, avx2, monkeypatch):
    """By whichever function, and for the transpose of a weight, which is not copied."""
    monkeypatch.setattr(half_blocks, "AVX2", avx2)
    torch.manual_seed(0)
    weight = torch.randn(24, 16, dtype=dtype).mT if transposed else torch.randn(16, 24, dtype=dtype)
    bias, x = torch.randn(16, dtype=dtype), torch.randn(40, 24, dtype=dtype)
    torch.testing.assert_close(product(weight, bias, packs)(x), F.linear(x, weight, bias))
    torch.testing.assert_close(product(weight, None, packs)(x), F.linear(x, weight))


@pytest.mark.parametrize("lacks", [{"can_pack": lambda dtype: False}, {"AVX2": True}], ids=["functions", "vectors"])
def test_product_without_onednn(lacks, monkeypatch):
    """Where PyTorch lacks its functions, or the CPU the vectors that they are fast with, the public one serves."""
    for name, value in lacks.items():
        monkeypatch.setattr(half_blocks, name, value)
    weight, x = torch.randn(16, 24), torch.randn(40, 24)
    assert torch.equal(product(weight, None, packs=True)(x), F.linear(x, weight))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_gradients_of_many_runs_are_summed_in_float32(dtype):
    """Rounding does not grow with the number of runs."""
    torch.manual_seed(0)
    weight, bias = torch.randn(16, 24), torch.randn(16)
    layer = LinearRows((weight, bias), (True, True), dtype, rows=6400)
    x, slope = torch.randn(6400, 24).to(dtype), torch.randn(6400, 16).to(dtype)
    for rows, slopes in zip(x.split(64), slope.split(64), strict=True):
        layer.backward(rows, slopes)
    wanted = [slope.double().mT @ x.double(), slope.double().sum(0)]
    for found, exact in zip(layer.gradients(), wanted, strict=True):
        assert found.dtype == torch.float32
        assert (found - exact).norm() < 3e-3 * exact.norm()


def test_branch_is_normalised_in_the_type_of_the_norm():
    """A branch in bfloat16 is added in float32."""
    end = NormedSum((torch.ones(8), torch.zeros(8)), (True, True), eps=1e-5)
    x, branch = torch.randn(5, 8), torch.randn(5, 8).bfloat16()
    torch.testing.assert_close(end.forward(x, branch, None), x + F.layer_norm(branch.float(), (8,)))
    assert end.backward(branch, torch.randn(5, 8), None).dtype == torch.bfloat16  # what its layer multiplies
