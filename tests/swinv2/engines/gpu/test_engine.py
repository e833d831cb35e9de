"""Blocks by the GPU engine, its kernels interpreted."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from swinv2.backbone import Block
from swinv2.engines import explain, use_engine
from swinv2.engines.gpu import engine
from swinv2.windows import cut

CPU = torch.device("cpu")


class OnGpu(torch.Tensor):
    """Says so."""

    device = torch.device("cuda", 0)


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


def test_a_training_has_no_memory_of_evaluations(on_gpu):
    """Also one that is gone back to by attributes, as Lightning does."""
    block, given = use_engine(block_of(), "gpu").eval(), (torch.randn(1, 5, 7, 32), cut((5, 7), (4, 4), True, CPU))
    with torch.no_grad():
        block(*given)
    assert "_derived" in vars(block.attn)
    for module in block.modules():
        module.training = True
    block(*given)
    assert "_derived" not in vars(block.attn)


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


def test_what_the_engine_refuses(monkeypatch):
    """Tokens on a CPU, in float64, and of a transformed model; for torch.compile also GPUs without kernels."""
    x, windows = torch.zeros(1, 5, 7, 32), cut((5, 7), (4, 4), False, torch.device("cpu"))
    block = use_engine(block_of(), "auto")
    assert engine.GpuEngine().refusal(block, x, windows) == "the tokens are on cpu"
    on_gpu = x.as_subclass(OnGpu)
    assert engine._refusal(on_gpu) is None
    assert engine._refusal(x.double().as_subclass(OnGpu)) == "the tokens are torch.float64"
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    monkeypatch.setattr(engine, "unfit", lambda device: "Triton is not installed")
    assert engine._refusal(on_gpu) == "Triton is not installed"


@pytest.mark.parametrize("way", ["whole", "extra norm", "checkpointing"])
def test_block_without_kernels(way, monkeypatch, without_kernels):
    """PyTorch's operators give the same."""
    monkeypatch.setattr(engine, "_refusal", lambda *_: None)
    plain = block_of(way == "extra norm", way == "checkpointing")
    ours = use_engine(copy.deepcopy(plain), "gpu")
    x, windows = torch.randn(2, 5, 7, 32), cut((5, 7), (4, 4), True, torch.device("cpu"))
    assert explain(ours, x, windows).startswith(": gpu, attention by PyTorch's operators: Triton is not installed")
    for one, other in zip(results(ours, x, windows), results(plain, x, windows), strict=True):
        assert (one - other).abs().max() <= 3e-5 * other.abs().max().clamp_min(1e-3)


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("kernel", [True, False])
def test_ends_of_branches_are_timed(kernel, recorded, interpreted):
    """Both passes where both will come, without a trace in the weights."""
    norm, (x, branch) = block_of().norm1, torch.randn(2, 1, 4, 32)
    engine._try(x, branch, norm, torch.ones(1), recorded, kernel)
    assert norm.weight.grad is None


@pytest.mark.parametrize("reentrant", [False, True])
def test_ways_are_timed_within_a_checkpoint(reentrant, on_gpu, monkeypatch):
    """Of the user's, around a block; nothing that a trial computes is taken for a part of the block."""
    tried = set()

    def uses_kernel(kernel, device, work, trial):
        if work not in tried:
            tried.add(work)
            trial(True), trial(False)
        return True

    monkeypatch.setattr(engine.choice, "uses_kernel", uses_kernel)
    block, x, windows = use_engine(block_of(), "gpu"), torch.randn(2, 5, 7, 32), cut((5, 7), (4, 4), True, CPU)

    def recomputed(*given):
        return checkpoint(block, *given, use_reentrant=reentrant)

    out, wanted = [], []
    for function, grads in ((recomputed, out), (block, wanted)):
        torch.manual_seed(7)
        function(x.clone().requires_grad_(), windows).square().sum().backward()
        grads += [weight.grad for weight in block.parameters()]
        block.zero_grad()
    assert tried
    for one, other in zip(out, wanted, strict=True):
        torch.testing.assert_close(one, other)
