"""Products with packed weights."""

import pytest
import torch
import torch.nn.functional as F

from swinv2.engines.cpu import packing
from swinv2.engines.cpu.packing import can_pack, pack, packed_product, product


@pytest.mark.parametrize("avx2", [False, True])
@pytest.mark.parametrize("packs", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_product_is_that_of_a_linear_layer(dtype, transposed, packs, avx2, monkeypatch):
    """By whichever function, and for the transpose of a weight, which is not copied."""
    monkeypatch.setattr(packing, "AVX2", avx2)
    torch.manual_seed(0)
    weight = torch.randn(24, 16, dtype=dtype).mT if transposed else torch.randn(16, 24, dtype=dtype)
    bias, x = torch.randn(16, dtype=dtype), torch.randn(40, 24, dtype=dtype)
    torch.testing.assert_close(product(weight, bias, packs)(x), F.linear(x, weight, bias))
    torch.testing.assert_close(product(weight, None, packs)(x), F.linear(x, weight))


@pytest.mark.parametrize("lacks", [{"can_pack": lambda dtype: False}, {"AVX2": True}], ids=["functions", "vectors"])
def test_product_without_onednn(lacks, monkeypatch):
    """Where PyTorch lacks its functions, or the CPU the vectors that they are fast with, the public one serves."""
    for name, value in lacks.items():
        monkeypatch.setattr(packing, name, value)
    weight, x = torch.randn(16, 24), torch.randn(40, 24)
    assert torch.equal(product(weight, None, packs=True)(x), F.linear(x, weight))


@pytest.mark.skipif(not can_pack(torch.float32), reason="this PyTorch has no oneDNN")
@pytest.mark.parametrize("avx2", [True, False])
@pytest.mark.parametrize("gelu", [True, False])
def test_packed_products_are_exact(gelu, avx2, monkeypatch):
    """GELU by the product's own kernel or by a pass of its own, whichever is faster on this CPU."""
    monkeypatch.setattr(packing, "AVX2", avx2)
    weight, bias, x = torch.randn(40, 24), torch.randn(40), torch.randn(300, 24)
    wanted = F.linear(x.double(), weight.double(), bias.double())
    wanted = F.gelu(wanted) if gelu else wanted
    found = packed_product(pack(weight), bias, gelu)(x)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_bfloat16_is_packed_where_the_cpu_multiplies_it():
    """To bfloat16's accuracy; elsewhere nothing is packed, nor in other types."""
    weight, bias, x = torch.randn(40, 24).bfloat16(), torch.randn(40).bfloat16(), torch.randn(6, 24).bfloat16()
    packed = pack(weight)
    assert (packed is not None) == can_pack(torch.bfloat16)
    if packed is not None:
        wanted = F.linear(x.float(), weight.float(), bias.float())
        torch.testing.assert_close(packed_product(packed, bias)(x).float(), wanted, rtol=2e-2, atol=2e-2)
    assert pack(torch.randn(4, 4, dtype=torch.float64)) is None
