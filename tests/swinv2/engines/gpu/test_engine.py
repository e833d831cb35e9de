"""Blocks by the GPU engine, its kernels interpreted."""

import copy

import pytest
import torch
from torch import nn

from swinv2.backbone import Block
from swinv2.engines import use_engine
from swinv2.engines.gpu import engine
from swinv2.windows import cut


@pytest.fixture
def on_gpu(monkeypatch, interpreted):
    """Tokens are taken as if they were on a GPU."""
    monkeypatch.setattr(engine, "_refusal", lambda *_: None)


def block_of(extra_norm=False, checkpointing=False):
    """With weights of some size."""
    torch.manual_seed(0)
    block = Block(32, 2, (4, 4), 2.0, 0.4, extra_norm, checkpointing)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    return block


def results(block, x, windows):
    """The output, and gradients of tokens and weights."""
    x = x.clone().requires_grad_()
    torch.manual_seed(7)  # which images are left out
    out = block(x, windows)
    grads = torch.autograd.grad((out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum(), [x, *block.parameters()])
    return [out.detach(), *grads]


@pytest.mark.parametrize(
    "way", ["whole", "extra norm", "checkpointing", "hooked norm", "hooked attention", "other branch"]
)
def test_block_is_the_plain_one(way, on_gpu):
    """Values and gradients, and the same random numbers."""
    plain = block_of(way == "extra norm", way == "checkpointing")
    ours = use_engine(copy.deepcopy(plain), "gpu")
    called = []
    if way == "other branch":
        plain.drop_path, ours.drop_path = nn.Identity(), nn.Identity()
    if way.startswith("hooked"):
        module = ours.norm1 if way == "hooked norm" else ours.attn
        module.register_forward_hook(lambda layer, given, out: called.append(layer))
    x, windows = torch.randn(2, 5, 7, 32), cut((5, 7), (4, 4), True, torch.device("cpu"))
    for one, other in zip(results(ours, x, windows), results(plain, x, windows), strict=True):
        assert (one - other).abs().max() <= 3e-5 * other.abs().max().clamp_min(1e-3)
    assert len(called) == way.startswith("hooked")


@torch.no_grad()
def test_evaluation_is_the_plain_one(on_gpu):
    """The position bias is computed once."""
    plain = block_of().eval()
    ours = use_engine(copy.deepcopy(plain), "gpu")
    x, windows = torch.randn(2, 5, 7, 32), cut((5, 7), (4, 4), False, torch.device("cpu"))
    for _ in range(2):
        torch.testing.assert_close(ours(x, windows), plain(x, windows), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_weights_of_a_call_of_its_own(on_gpu):
    """Fresh tensors, which often stand where those of the last call stood, in memory and among Python's objects."""
    plain = block_of().eval()
    ours = use_engine(copy.deepcopy(plain), "gpu")
    x, windows = torch.randn(1, 5, 7, 32), cut((5, 7), (4, 4), False, torch.device("cpu"))
    for factor in range(10):
        weights = {name: weight * factor for name, weight in plain.named_parameters()}
        found, wanted = (torch.func.functional_call(block, weights, (x, windows)) for block in (ours, plain))
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
        del weights


def test_second_derivatives_are_errors(on_gpu):
    """Of the attention, and of the ends of branches."""
    x, windows = torch.randn(1, 5, 7, 32, requires_grad=True), cut((5, 7), (4, 4), False, torch.device("cpu"))
    block = use_engine(block_of(), "gpu")
    for call in (block, block.attn):
        (grad,) = torch.autograd.grad(call(x, windows).square().sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="no second derivative"):
            torch.autograd.grad(grad.square().sum(), x)


def test_why_kernels_refuse():
    """What does not fit is told."""
    x, windows = torch.zeros(1, 5, 7, 32), cut((5, 7), (4, 4), False, torch.device("cpu"))
    block = use_engine(block_of(), "auto")
    assert engine.GpuEngine().refusal(block, x, windows) == "the tokens are on cpu"
    wide = cut((80, 70), (80, 70), False, torch.device("cpu"))
    assert engine.unsupported(wide, 32, torch.float32) == "the kernels take at most 4096 slots in a window, got 5600"
