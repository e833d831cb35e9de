"""A block that knows its own gradients; test_equal.py says that they are those of the plain block."""

import math

import pytest
import torch
from torch import Tensor

from swinv2.engines.cpu import block, layers
from swinv2.engines.cpu.block import BlockOptions
from swinv2.engines.cpu.order import chunks
from swinv2.windows import cut

CPU = torch.device("cpu")
DIM, HEADS, BATCH = 8, 2, 2
SAVED = {
    "all": ("qkv", "context", "attended", "middle", "hidden", "mlp"),
    "not what is cheap": block.SAVED,
    "nothing": (),
}
CUTS = {  # grid, window, shifted
    "one shape": ((4, 6), (2, 3), False),
    "several shapes": ((5, 3), (2, 2), True),
    "three axes": ((2, 4, 3), (2, 2, 2), False),
}


class Problem:
    """A block's options, and random tokens, scale, weights and biases of six layers, and position biases."""

    def __init__(self, cut_of, saved=block.SAVED, factors=(None, None), dtype=torch.float64, most=10**6):
        torch.manual_seed(0)
        size, window, shifted = cut_of
        self.windows = cut(size, window, shifted, CPU)
        parts = chunks(self.windows, BATCH, most)
        shapes = list(dict.fromkeys(shape for chunk in parts for shape, _ in chunk.groups))
        factors = tuple(None if factor is None else factor.to(dtype) for factor in factors)
        self.options = BlockOptions(parts, shapes, factors, (1e-5, 1e-3), saved)
        slots, of_inputs = math.prod(self.windows.shape), [(BATCH * math.prod(size), DIM), (HEADS,)]
        for out, width in ((3 * DIM, DIM), (DIM, DIM), (DIM, 0), (4 * DIM, DIM), (DIM, 4 * DIM), (DIM, 0)):
            of_inputs += [(out, width) if width else (out,), (out,)]
        of_inputs += [(HEADS, slots, slots)]
        self.inputs = [torch.randn(shape, dtype=dtype).mul_(0.5).requires_grad_() for shape in of_inputs]

    def biases(self, bias) -> list[Tensor]:
        """Of the shapes of windows, from that of the largest window: as many slots from its beginning."""
        slots = torch.arange(bias.shape[-1]).view(self.windows.shape)
        inside = [slots[tuple(map(slice, shape))].flatten() for shape in self.options.shapes]
        return [bias[:, of_shape][:, :, of_shape] for of_shape in inside]


def ours(problem, given) -> Tensor:
    """By the block's own gradients."""
    x, scale, *tensors, bias = given
    pairs = list(zip(tensors[0:12:2], tensors[1:12:2], strict=True))
    return block.trained_block(x, problem.options, pairs, scale, problem.biases(bias))


def assert_same(found, wanted, tolerance):
    """Each tensor to a part of its largest number."""
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() <= tolerance * other.abs().max()


def test_gradients_are_those_of_small_differences():
    """Each of them, numerically."""
    problem = Problem(((3, 1), (2, 1), False))
    assert torch.autograd.gradcheck(lambda *given: ours(problem, given), problem.inputs, fast_mode=True)


@pytest.mark.parametrize("saved", SAVED.values(), ids=SAVED)
@pytest.mark.parametrize("packs", [True, False])
def test_onednn_changes_nothing(saved, packs, monkeypatch):
    """Where so many tokens come that packing pays, or where PyTorch has none of its functions."""
    monkeypatch.setattr("swinv2.engines.cpu.packing.AVX2", False)
    monkeypatch.setattr(layers, "TOKENS_WORTH_PACKING", 1)
    if not packs:
        monkeypatch.setattr("swinv2.engines.cpu.packing.can_pack", lambda dtype: False)
    problem = Problem(CUTS["one shape"], saved, dtype=torch.float32)
    found = torch.autograd.grad(ours(problem, problem.inputs).square().sum(), problem.inputs)
    monkeypatch.undo()
    wanted = torch.autograd.grad(ours(problem, problem.inputs).square().sum(), problem.inputs)
    assert_same(found, wanted, 1e-5)


@pytest.mark.parametrize("saved", SAVED.values(), ids=SAVED)
def test_backward_pass_under_autocast_is_the_same(saved):
    """A loop of one's own that calls backward within autocast gets the same gradients."""
    problem = Problem(CUTS["one shape"], saved, dtype=torch.float32)
    out = ours(problem, problem.inputs).square().sum()
    wanted = torch.autograd.grad(out, problem.inputs, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(out, problem.inputs)
    assert_same(found, wanted, 0)


@pytest.mark.parametrize("saved", SAVED.values(), ids=SAVED)
def test_what_is_frozen_gets_no_gradient(saved):
    """The others get theirs."""
    problem = Problem(CUTS["several shapes"], saved)
    wanted = torch.autograd.grad(ours(problem, problem.inputs).square().sum(), problem.inputs)
    for first in (0, 1):
        kept = [tensor.detach().requires_grad_(i % 2 == first) for i, tensor in enumerate(problem.inputs)]
        ours(problem, kept).square().sum().backward()
        assert all((tensor.grad is None) == (i % 2 != first) for i, tensor in enumerate(kept))
        assert_same([tensor.grad for tensor in kept[first::2]], wanted[first::2], 0)


def test_checkpoint_around_it_changes_nothing():
    """Whoever recomputes more than a block."""
    problem = Problem(CUTS["one shape"])
    wanted = torch.autograd.grad(ours(problem, problem.inputs).square().sum(), problem.inputs)
    out = torch.utils.checkpoint.checkpoint(lambda *given: ours(problem, given), *problem.inputs, use_reentrant=False)
    assert_same(torch.autograd.grad(out.square().sum(), problem.inputs), wanted, 0)


@pytest.mark.parametrize("most", [10**6, 7], ids=["one chunk", "many chunks"])
def test_gradients_are_deterministic(most):
    """To the last bit."""
    problem = Problem(CUTS["several shapes"], dtype=torch.float32, most=most)
    given = problem.inputs
    once, again = (torch.autograd.grad(ours(problem, given).square().sum(), given) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))


@pytest.mark.parametrize(("saved", "numbers"), list(zip(SAVED.values(), (12, 10, 1), strict=True)), ids=SAVED)
def test_numbers_kept_for_the_backward_pass(saved, numbers):
    """Channels a token, besides weights and biases."""
    problem = Problem(((32, 32), (4, 4), False), saved, dtype=torch.float32)
    given, bias = problem.inputs, problem.biases(problem.inputs[-1])
    parameters = {tensor.data_ptr() for tensor in given[1:]}
    kept: dict[int, int] = {}

    def pack(tensor):
        if tensor.data_ptr() not in parameters and tensor.shape != bias[0].shape:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    pairs = list(zip(given[2:14:2], given[3:14:2], strict=True))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        block.trained_block(given[0], problem.options, pairs, given[1], bias)
    assert sum(kept.values()) == numbers * 4 * given[0].numel()
