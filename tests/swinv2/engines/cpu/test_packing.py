"""Linear layers with packed weights."""

import copy

import pytest
import torch
import torch.nn.functional as F

from swinv2.engines.cpu.packing import Linear, can_pack

PACKS = torch.backends.mkldnn.is_available()  # every PyTorch with oneDNN that is allowed here can


@pytest.fixture
def layer():
    """A packed layer; where PyTorch cannot pack it is a plain one, which must do the same."""
    made = Linear(24, 40)
    made.pack()
    assert packed(made) == PACKS
    return made


@torch.no_grad()
def packed(layer):
    """Whether a packed weight is kept that is the layer's."""
    return layer._packed.get([layer.weight]) is not None


def uses_packed(layer, x):
    """Whether a call multiplies by the packed weight: that of another layer in its place changes the result."""
    if not packed(layer):
        return False
    other = Linear(24, 40)
    other.pack()
    kept, layer._packed._value = layer._packed._value, other._packed._value
    try:
        return not torch.allclose(layer(x), F.linear(x, layer.weight, layer.bias), atol=1e-2)
    finally:
        layer._packed._value = kept


@pytest.mark.parametrize("shape", [(7, 24), (2, 3, 5, 24), (1, 24)])
@torch.no_grad()
def test_packed_weight_gives_the_same(layer, shape):
    """To float32's accuracy, for any number of axes, with its own bias or another one."""
    x, other = torch.randn(shape), torch.randn(40)
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))
    torch.testing.assert_close(layer(x, other), F.linear(x, layer.weight, other))
    torch.testing.assert_close(layer.gelu(x), F.gelu(layer(x)))
    assert uses_packed(layer, x) == PACKS


@pytest.mark.parametrize("avx2", [True, False])
@torch.no_grad()
def test_gelu_of_a_packed_product_is_exact(layer, avx2, monkeypatch):
    """By the product's own kernel or by a pass of its own, whichever is faster on this CPU."""
    monkeypatch.setattr("swinv2.engines.cpu.packing.AVX2", avx2)
    x = torch.randn(300, 24)
    wanted = F.gelu(F.linear(x.double(), layer.weight.double(), layer.bias.double()))
    torch.testing.assert_close(layer.gelu(x).double(), wanted, rtol=1e-5, atol=1e-6)


def test_gelu_of_the_output_has_a_gradient(layer):
    """With a gradient the plain weight is used."""
    x = torch.randn(4, 24, requires_grad=True)
    torch.testing.assert_close(layer.gelu(x), F.gelu(F.linear(x, layer.weight, layer.bias)))
    layer.gelu(x).sum().backward()
    assert layer.weight.grad.abs().sum() > 0


def test_gradients_other_types_and_autocast_use_the_weight(layer):
    """Only evaluation in the type of the packed weight takes it."""
    x = torch.randn(4, 24)
    assert not uses_packed(layer, x)
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            assert not uses_packed(layer, x)
        double = copy.deepcopy(layer).double()
        torch.testing.assert_close(double(x.double()), F.linear(x.double(), double.weight, double.bias))


@torch.no_grad()
def test_changed_weight_is_used(layer):
    """A weight that is loaded or trained after packing counts."""
    x = torch.randn(4, 24)
    layer.load_state_dict(Linear(24, 40).state_dict())
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))
    assert not uses_packed(layer, x)


def test_copies_and_state_are_those_of_a_linear_layer(layer):
    """What is packed is neither saved nor copied."""
    assert set(layer.state_dict()) == {"weight", "bias"}
    assert not packed(copy.deepcopy(layer))


@torch.no_grad()
def test_bfloat16_is_packed_where_the_cpu_multiplies_it():
    """To bfloat16's accuracy; elsewhere the plain weight is used."""
    layer = Linear(24, 40).bfloat16()
    layer.pack()
    x = torch.randn(6, 24).bfloat16()
    wanted = F.linear(x.float(), layer.weight.float(), layer.bias.float())
    assert packed(layer) == can_pack(torch.bfloat16)
    torch.testing.assert_close(layer(x).float(), wanted, rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(layer.gelu(x).float(), F.gelu(wanted), rtol=2e-2, atol=2e-2)
