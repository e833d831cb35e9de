"""Linear layers with packed weights."""

import copy
import mmap
import os
import platform
import subprocess
import sys
import textwrap

import pytest
import torch
import torch.nn.functional as F

import swinv2
from swinv2.linear import Linear, can_pack, optimize_for_inference

PACKS = torch.backends.mkldnn.is_available()  # every PyTorch with oneDNN that is allowed here can


@pytest.fixture
def layer():
    """A packed layer; where PyTorch cannot pack it is a plain one, which must do the same."""
    made = Linear(24, 40)
    made.pack()
    assert bool(made._packed) == PACKS
    return made


def uses_packed(layer, x):
    """Whether a call multiplies by the packed weight: that of another layer in its place changes the result."""
    other = Linear(24, 40)
    other.pack()
    kept, layer._packed = layer._packed, other._packed
    try:
        return not torch.allclose(layer(x), F.linear(x, layer.weight, layer.bias), atol=1e-2)
    finally:
        layer._packed = kept


@pytest.mark.parametrize("shape", [(7, 24), (2, 3, 5, 24), (1, 24)])
@torch.no_grad()
def test_packed_weight_gives_the_same(layer, shape):
    """To float32's accuracy, for any number of axes, with its own bias or another one."""
    x, other = torch.randn(shape), torch.randn(40)
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))
    torch.testing.assert_close(layer(x, other), F.linear(x, layer.weight, other))
    torch.testing.assert_close(layer.gelu(x), F.gelu(layer(x)))
    assert uses_packed(layer, x) == PACKS


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
    assert copy.deepcopy(layer)._packed == []


@torch.no_grad()
def test_prepared_backbone_gives_the_same_features():
    """All of a model, in or out of inference mode."""
    backbone = swinv2.create_backbone(
        "swinv2_tiny_window8_256", embed_dim=16, depths=[2, 2], num_heads=[1, 2], out_indices=[0, 1]
    )
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    images = torch.randn(1, 3, 72, 100)
    wanted = backbone.eval()(images)
    assert optimize_for_inference(backbone) is backbone
    for found, expected in zip(backbone(images), wanted, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    with torch.inference_mode():
        torch.testing.assert_close(backbone(images)[0], wanted[0], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_bfloat16_is_packed_where_the_cpu_multiplies_it():
    """To bfloat16's accuracy; elsewhere the plain weight is used."""
    layer = Linear(24, 40).bfloat16()
    layer.pack()
    x = torch.randn(6, 24).bfloat16()
    wanted = F.linear(x.float(), layer.weight.float(), layer.bias.float())
    assert bool(layer._packed) == can_pack(torch.bfloat16)
    torch.testing.assert_close(layer(x).float(), wanted, rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(layer.gelu(x).float(), F.gelu(wanted), rtol=2e-2, atol=2e-2)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than the one that this is about")
@pytest.mark.parametrize("prepare", [True, False])
def test_freed_memory_is_kept_for_the_next_image(prepare):
    """Pages of freed tensors are used again, rather than given back and cleared anew for each image."""
    script = f"""
        import resource, torch
        from torch import nn
        from swinv2 import optimize_for_inference
        if {prepare}:
            optimize_for_inference(nn.Identity())
        def faults():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            kept = [torch.ones(5 * 2**20, dtype=torch.uint8) for _ in range(10)]
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        print([faults() for _ in range(4)][-1])
    """
    at_first = {} if prepare else {"MALLOC_MMAP_THRESHOLD_": str(2**17)}  # stays so: no block that was freed raises it
    command = [sys.executable, "-c", textwrap.dedent(script)]
    run = subprocess.run(command, env=os.environ | at_first, capture_output=True, text=True, check=True)
    pages = 50 * 2**20 // mmap.PAGESIZE
    assert int(run.stdout) < pages / 10 if prepare else int(run.stdout) > pages / 2
