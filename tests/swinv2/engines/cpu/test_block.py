"""A block that knows its own gradients."""

import math

import pytest
import torch
from torch import Tensor

from swinv2.attention import WindowAttention, window_attention
from swinv2.engines.cpu import block as trained_block
from swinv2.engines.cpu import layers as half_blocks
from swinv2.engines.cpu.block import Plan
from swinv2.layers import LayerNorm
from swinv2.windows import Cut

DIM, HEADS, BATCH = 8, 2, 2
POLICIES = ["nothing", "elementwise", "block"]
CUTS = {
    "one shape": [((2, 3), 4)],
    "several shapes": [((2, 2), 6), ((1, 2), 3), ((2, 1), 1)],
    "three axes": [((2, 2, 2), 2), ((1, 2, 2), 2)],
}
FACTORS = {"no drop path": (None, None), "drop path": (torch.tensor([0.0, 1.5]), torch.tensor([2.0, 0.0]))}


def cut_of(groups) -> Cut:
    """Windows that are shared out among the images."""
    tokens = sum(math.prod(shape) * count for shape, count in groups)
    order = torch.randperm(tokens)
    return Cut(tuple(groups), order, order % BATCH, BATCH)


def plan_of(groups, recompute="elementwise", factors=(None, None), dtype=torch.float64) -> Plan:
    """Of a block whose tokens come in another order."""
    cut = cut_of(groups)
    factors = tuple(None if factor is None else factor.to(dtype) for factor in factors)
    return Plan(cut, cut.order, factors, (1e-5, 1e-3), recompute)


def inputs(plan, dtype=torch.float64) -> list[Tensor]:
    """Random tokens, scale, weights and biases of six layers, and position biases, all with a gradient."""
    shapes = [(len(plan.cut.order), DIM), (HEADS,)]
    for out, width in ((3 * DIM, DIM), (DIM, DIM), (DIM, 0), (4 * DIM, DIM), (DIM, 4 * DIM), (DIM, 0)):
        shapes += [(out, width) if width else (out,), (out,)]
    shapes += [(HEADS, math.prod(shape), math.prod(shape)) for shape, _ in plan.cut.groups]
    return [torch.randn(shape, dtype=dtype).mul_(0.5).requires_grad_() for shape in shapes]


def ours(plan, given) -> Tensor:
    """By the block's own gradients."""
    x, scale, *tensors = given
    pairs = list(zip(tensors[0:12:2], tensors[1:12:2], strict=True))
    return trained_block.trained_block(x, plan, pairs, scale, tensors[12:])


def plain(plan, given) -> Tensor:
    """By those of PyTorch, step by step."""
    x, scale, *tensors = given
    qkv, proj, norm1, fc1, fc2, norm2 = zip(tensors[0:12:2], tensors[1:12:2], strict=True)
    x = x[plan.order]
    one, other = (1 if f is None else f[plan.cut.image].unsqueeze(1) for f in plan.factors)
    heads = torch.nn.functional.linear(x, *qkv).unflatten(1, (3, HEADS, -1))
    context = window_attention(heads, scale, tensors[12:], plan.cut)
    branch = torch.nn.functional.linear(context, *proj)
    x = x + one * normed(branch, norm1, plan.eps[0])
    hidden = torch.nn.functional.gelu(torch.nn.functional.linear(x, *fc1))
    return x + other * normed(torch.nn.functional.linear(hidden, *fc2), norm2, plan.eps[1])


def normed(x, weights, eps) -> Tensor:
    """In float32 or better."""
    return torch.nn.functional.layer_norm(x.to(weights[0].dtype), (DIM,), *weights, eps)


def assert_same(found, wanted, tolerance):
    """Each tensor to a part of its largest number."""
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() <= tolerance * other.abs().max()


@pytest.fixture(params=["one run", "many runs"])
def runs(request, monkeypatch):
    """All windows at a time, or a few."""
    monkeypatch.setattr(trained_block, "FEWEST_ROWS", 1)
    monkeypatch.setattr(trained_block, "NUMBERS_IN_CACHE", 10**6 if request.param == "one run" else 7 * DIM)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("factors", FACTORS.values(), ids=FACTORS)
@pytest.mark.parametrize("groups", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("recompute", POLICIES)
def test_value_and_gradients_are_those_of_autograd(recompute, groups, factors, dtype, runs):
    """Whatever is computed again, in windows of any shapes, for any number of runs."""
    torch.manual_seed(0)
    plan = plan_of(groups, recompute, factors, dtype)
    given = inputs(plan, dtype)
    wanted, found = plain(plan, given), ours(plan, given)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    assert_same([found], [wanted], tolerance)
    slope = torch.randn_like(wanted)
    assert_same(torch.autograd.grad(found, given, slope), torch.autograd.grad(wanted, given, slope), tolerance)


def test_gradients_are_those_of_small_differences():
    """Each of them, numerically."""
    torch.manual_seed(0)
    plan = plan_of([((1, 2), 2), ((1, 1), 1)])
    assert torch.autograd.gradcheck(lambda *given: ours(plan, given), inputs(plan), fast_mode=True)


@pytest.mark.parametrize("recompute", POLICIES)
def test_weights_packed_for_onednn_change_nothing(recompute, monkeypatch):
    """Where so many tokens come that packing pays."""
    torch.manual_seed(0)
    monkeypatch.setattr(half_blocks, "AVX2", False)
    monkeypatch.setattr(half_blocks, "ROWS_WORTH_PACKING", 1)
    plan = plan_of(CUTS["one shape"], recompute, dtype=torch.float32)
    given = inputs(plan, torch.float32)
    found, wanted = (torch.autograd.grad(block(plan, given).square().sum(), given) for block in (ours, plain))
    assert_same(found, wanted, 1e-5)


def test_without_onednn_the_gradients_are_the_same(monkeypatch):
    """Its functions are not public."""
    monkeypatch.setattr(half_blocks, "AVX2", False)
    torch.manual_seed(0)
    plan = plan_of(CUTS["one shape"], dtype=torch.float32)
    given = inputs(plan, torch.float32)
    wanted = torch.autograd.grad(ours(plan, given).square().sum(), given)
    monkeypatch.setattr(half_blocks, "can_pack", lambda dtype: False)
    assert_same(torch.autograd.grad(ours(plan, given).square().sum(), given), wanted, 1e-5)


@pytest.mark.parametrize("recompute", POLICIES)
def test_autocast_loses_no_more_than_plain_autocast(recompute, runs):
    """Products in bfloat16; norms, sums and attention in float32."""
    torch.manual_seed(0)
    plan = plan_of(CUTS["several shapes"], recompute, dtype=torch.float32)
    given = inputs(plan, torch.float32)
    slope = torch.randn(len(plan.order), DIM)
    exact = torch.autograd.grad(plain(plan, given), given, slope)
    errors = []
    for block in (ours, plain):
        with torch.autocast("cpu", torch.bfloat16):
            out = block(plan, given)
        assert out.dtype == torch.float32
        found = torch.autograd.grad(out, given, slope)
        errors.append([((a - b).norm() / b.norm()).item() for a, b in zip(found, exact, strict=True)])
    mine, theirs = (sum(error) for error in errors)
    assert mine < 1.1 * theirs


@pytest.mark.parametrize("recompute", POLICIES)
def test_backward_pass_under_autocast_is_the_same(recompute):
    """A loop of one's own that calls backward within autocast gets the same gradients."""
    torch.manual_seed(0)
    plan = plan_of(CUTS["one shape"], recompute, dtype=torch.float32)
    given = inputs(plan, torch.float32)
    out = ours(plan, given).square().sum()
    wanted = torch.autograd.grad(out, given, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(out, given)
    assert_same(found, wanted, 0)


@pytest.mark.parametrize("recompute", POLICIES)
def test_a_model_wholly_in_bfloat16(recompute):
    """Gradients have the types of what they belong to."""
    plan = plan_of(CUTS["one shape"], recompute, dtype=torch.bfloat16)
    given = inputs(plan, torch.bfloat16)
    out = ours(plan, given)
    found = torch.autograd.grad(out.square().sum(), given)
    assert {out.dtype, *(slope.dtype for slope in found)} == {torch.bfloat16}


@pytest.mark.parametrize("recompute", POLICIES)
def test_what_is_frozen_gets_no_gradient(recompute):
    """The others get theirs."""
    torch.manual_seed(0)
    plan = plan_of(CUTS["several shapes"], recompute)
    given = inputs(plan)
    wanted = torch.autograd.grad(ours(plan, given).square().sum(), given)
    for first in (0, 1):
        kept = [tensor.detach().requires_grad_(i % 2 == first) for i, tensor in enumerate(given)]
        ours(plan, kept).square().sum().backward()
        assert all((tensor.grad is None) == (i % 2 != first) for i, tensor in enumerate(kept))
        assert_same([tensor.grad for tensor in kept[first::2]], wanted[first::2], 0)


def test_checkpoint_around_it_changes_nothing():
    """Whoever recomputes more than a block."""
    torch.manual_seed(0)
    plan = plan_of(CUTS["one shape"])
    given = inputs(plan)
    wanted = torch.autograd.grad(ours(plan, given).square().sum(), given)
    out = torch.utils.checkpoint.checkpoint(lambda *given: ours(plan, given), *given, use_reentrant=False)
    assert_same(torch.autograd.grad(out.square().sum(), given), wanted, 0)


def test_gradients_are_deterministic(runs):
    """To the last bit."""
    torch.manual_seed(0)
    plan = plan_of(CUTS["several shapes"], dtype=torch.float32)
    given = inputs(plan, torch.float32)
    once, again = (torch.autograd.grad(ours(plan, given).square().sum(), given) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))


@pytest.mark.parametrize(("recompute", "numbers"), [("nothing", 12), ("elementwise", 10), ("block", 1)])
def test_numbers_kept_for_the_backward_pass(recompute, numbers):
    """Channels a token, besides weights and biases."""
    plan = plan_of([((4, 4), 64)], recompute, dtype=torch.float32)
    given = inputs(plan, torch.float32)
    parameters = {tensor.data_ptr() for tensor in given[1:]}
    kept: dict[int, int] = {}

    def pack(tensor):
        if tensor.data_ptr() not in parameters:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        ours(plan, given)
    assert sum(kept.values()) == numbers * 4 * given[0].numel()


def test_it_is_what_a_block_computes():
    """The modules of the library, in the same order."""
    torch.manual_seed(0)
    attention, norm = WindowAttention(DIM, HEADS, 2, (2, 3)).double(), LayerNorm(DIM).double()
    plan = plan_of(CUTS["one shape"])
    given = inputs(plan)
    bias = torch.cat([attention.q_bias, torch.zeros_like(attention.q_bias), attention.v_bias])
    weights = [(attention.qkv.weight, bias), (attention.proj.weight, attention.proj.bias), (norm.weight, norm.bias)]
    closed = torch.zeros(DIM, dtype=torch.float64)
    weights += [(given[8], given[9]), (given[10], given[11]), (closed, closed)]  # the MLP adds nothing
    scale = attention.logit_scale.exp().flatten()
    biases = attention.cpb_mlp(plan.cut.shapes, (2, 3))
    found = trained_block.trained_block(given[0], plan, weights, scale, [bias.double() for bias in biases])
    x = given[0][plan.order]
    wanted = x + torch.nn.functional.layer_norm(attention(x, plan.cut), (DIM,), norm.weight, norm.bias, plan.eps[0])
    torch.testing.assert_close(found, wanted)
