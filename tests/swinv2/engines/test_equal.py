"""Every engine against the plain block in float64: values, gradients and random numbers."""

import copy
import itertools
import math

import pytest
import torch
from torch import nn

from swinv2.backbone import Block
from swinv2.engines import ENGINES, optimize_for_inference, use_engine
from swinv2.engines.cpu import block as cpu_block
from swinv2.engines.cpu import engine as cpu_engine
from swinv2.windows import cut

CPU = torch.device("cpu")
DIM, HEADS, BATCH = 16, 2, 2
GRIDS = {
    "line": ((11,), (4,)),
    "image": ((7, 9), (4, 4)),
    "whole windows": ((8, 8), (4, 4)),
    "one window": ((5, 3), (8, 8)),
    "one token": ((1, 1), (8, 8)),
    "wide window": ((20, 13), (12, 12)),
    "clip": ((3, 5, 4), (2, 3, 4)),
}
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 6e-2, torch.float16: 1e-2}
# the GPU engine refuses here, and so takes part by the plain form; its kernels are in engines/gpu


def block_of(axes, extra_norm=False, checkpointing=False):
    """With weights of some size."""
    torch.manual_seed(0)
    block = Block(DIM, HEADS, (4,) * axes, 2.0, 0.4, extra_norm, checkpointing).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.4)
    return block


def tokens(size, dtype=torch.float64):
    """Of a batch of grids."""
    return torch.randn(BATCH, *size, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(dtype)


def results(block, x, windows):
    """The output, and gradients of tokens and weights."""
    x = x.clone().requires_grad_()
    torch.manual_seed(7)  # which images are left out
    out = block(x, windows)
    weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view_as(out)
    return [out, *torch.autograd.grad((out.double() * weights).sum(), [x, *block.parameters()])]


def assert_close(found, wanted, dtype):
    """Each tensor to a part of its largest number."""
    for one, other in zip(found, wanted, strict=True):
        largest = other.abs().max().clamp_min(1e-3)
        assert (one.double() - other.double()).abs().max() <= TOLERANCE[dtype] * largest


@pytest.fixture(params=["one chunk", "many chunks"])
def chunks(request, monkeypatch):
    """All windows at a time, or a few."""
    if request.param == "many chunks":
        monkeypatch.setattr(cpu_block, "FEWEST_TOKENS", 1)
        monkeypatch.setattr(cpu_block, "NUMBERS_IN_CACHE", 20 * DIM)
        monkeypatch.setattr(cpu_engine, "BYTES_IN_CACHE", 8 * 20)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(("size", "window"), GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("engine", ["auto", "cpu", "plain"])
def test_training(engine, size, window, shifted, chunks):
    """Stochastic depth leaves out the same images, and whatever is computed again is the same."""
    x, windows = tokens(size), cut(size, window, shifted, CPU)
    for extra_norm, checkpointing in itertools.product((False, True), (False, True)):
        plain = block_of(len(size), extra_norm)
        ours = use_engine(block_of(len(size), extra_norm, checkpointing), engine)
        assert_close(results(ours, x, windows), results(plain, x, windows), torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", ["image", "clip"])
def test_training_in_other_types(size, dtype):
    """As near to float64 as the plain form is, or rounding allows."""
    size, window = GRIDS[size]
    x, windows = tokens(size, dtype), cut(size, window, True, CPU)
    plain, ours = block_of(len(size)), use_engine(block_of(len(size)).to(dtype), "cpu")
    with torch.no_grad():
        for one, other in zip(plain.parameters(), ours.parameters(), strict=True):
            one.copy_(other)
    found, wanted = results(ours, x, windows), results(plain, x.double(), windows)
    assert {one.dtype for one in found} == {dtype}
    assert_close(found[:2], wanted[:2], dtype)
    theirs = results(copy.deepcopy(plain).to(dtype), x, windows)

    def error(those):
        return sum(((a.double() - b).norm() / b.norm()).item() for a, b in zip(those, wanted, strict=True))

    assert error(found) < 1.2 * error(theirs) + 1e-4


@torch.no_grad()
@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(("size", "window"), GRIDS.values(), ids=GRIDS)
def test_evaluation(size, window, shifted, dtype, prepared, chunks):
    """Prepared or not, in any type."""
    x, windows = tokens(size, dtype), cut(size, window, shifted, CPU)
    ours = use_engine(block_of(len(size), extra_norm=True).to(dtype), "cpu").eval()
    plain = use_engine(copy.deepcopy(ours).double(), "plain")
    ours = optimize_for_inference(ours) if prepared else ours
    assert_close([ours(x, windows)], [plain(x.double(), windows)], dtype)
    assert_close([ours(x, windows)], [plain(x.double(), windows)], dtype)  # by what is kept
    with torch.inference_mode():
        assert_close([ours(x, windows)], [plain(x.double(), windows)], dtype)


@pytest.mark.parametrize("gradients", [False, True])
def test_autocast(gradients):
    """No further from float64 than the plain form; in evaluation attention has 16 bits, too, and so more error."""
    size, window = GRIDS["image"]
    x, windows = tokens(size, torch.float32), cut(size, window, True, CPU)
    plain = block_of(2).float().train(gradients)
    ours = use_engine(copy.deepcopy(plain), "cpu")
    with torch.set_grad_enabled(gradients):
        torch.manual_seed(7)
        exact = copy.deepcopy(plain).double()(x.double(), windows)
        errors = []
        for block in (ours, plain):
            torch.manual_seed(7)
            with torch.autocast("cpu", torch.bfloat16):
                out = block(x, windows)
            assert out.dtype == torch.float32
            errors.append((out - exact).norm())
    assert errors[0] < (1.2 if gradients else 4) * errors[1]


def test_training_in_evaluation_mode():
    """Frozen statistics do not freeze gradients."""
    size, window = GRIDS["image"]
    windows = cut(size, window, False, CPU)
    plain, ours = block_of(2).eval(), use_engine(block_of(2), "cpu").eval()
    assert_close(results(ours, tokens(size), windows), results(plain, tokens(size), windows), torch.float64)


@torch.no_grad()
def test_stochastic_depth_without_gradients():
    """As a teacher has it that is left in training."""
    size, window = GRIDS["image"]
    windows = cut(size, window, False, CPU)
    found = []
    for block in (block_of(2), use_engine(block_of(2), "cpu")):
        torch.manual_seed(3)
        found.append(block.train()(tokens(size), windows))
    assert_close(found[:1], found[1:], torch.float64)


def test_frozen_weights_pass_gradients():
    """To the tokens."""
    size, window = GRIDS["clip"]
    windows = cut(size, window, True, CPU)
    grads = []
    for block in (block_of(3), use_engine(block_of(3), "cpu")):
        x = tokens(size).requires_grad_()
        block.requires_grad_(False).eval()(x, windows).square().sum().backward()
        grads.append(x.grad)
    assert_close(grads[:1], grads[1:], torch.float64)


def test_nothing_is_kept_of_frozen_blocks():
    """Without a gradient to come, a block runs as in evaluation."""
    size, window = GRIDS["image"]
    block, saved = use_engine(block_of(2), "cpu").requires_grad_(False), []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x), lambda x: x):
        block(tokens(size), cut(size, window, False, CPU))
    assert saved == []


@pytest.mark.parametrize("engine", ENGINES)
def test_an_empty_batch(engine):
    """As where a detector finds nothing to look at."""
    size, window = GRIDS["image"]
    block = use_engine(block_of(2), engine)
    if engine in ("cpu", "gpu"):
        block.strict = False
    x = tokens(size)[:0].requires_grad_()
    out = block(x, cut(size, window, True, CPU))
    assert out.shape == (0, 7, 9, DIM)
    out.sum().backward()
    assert math.prod(x.grad.shape) == 0
