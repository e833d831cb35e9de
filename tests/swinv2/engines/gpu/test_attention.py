import math
import os
import subprocess
import sys
from functools import partial

import pytest
import torch

from swinv2.engines.gpu import attention, plain
from swinv2.windows import grid_cut

CPU = torch.device("cpu")
CUTS = {  # batch, grid, window, shifted, fit
    "line": (2, (20,), (8,), True, "fixed"),
    "one slot": (1, (3, 2), (1, 1), False, "fixed"),
    "49 slots": (1, (14, 9), (7, 7), True, "fixed"),
    "64 slots": (2, (8, 12), (8, 8), True, "fixed"),
    "clip": (1, (3, 4, 5), (2, 2, 3), True, "fixed"),
    "uneven": (1, (13, 9), (6, 6), False, "balanced"),
    "uneven, shifted": (1, (13, 9), (6, 6), True, "balanced"),
    "less than a window": (2, (3, 5), (8, 8), True, "fixed"),
    "81 slots": (1, (14, 9), (9, 9), True, "fixed"),
    "large clip": (1, (4, 6, 5), (4, 5, 5), True, "fixed"),
    "144 slots": (1, (12, 18), (12, 12), True, "fixed"),
    "256 slots": (1, (16, 16), (16, 16), False, "fixed"),
}


def problem(name, dtype=torch.float32, heads=2, width=16):
    """A cut, and queries, keys and values, scale and bias for it."""
    batch, size, window, shifted, fit = CUTS[name]
    cut = grid_cut(batch, size, window, shifted, fit, CPU)
    slots = math.prod(cut.window)
    qkv = torch.randn(batch, *size, 3, heads, width).to(dtype)
    return cut, (qkv, 20 * torch.rand(heads), 16 * torch.rand(heads, slots, slots))


@pytest.mark.parametrize("name", CUTS)
def test_float32(name, interpreted, official, compared, farthest):
    """Kernels give what the official formula gives in float64, and its gradients."""
    cut, numbers = problem(name)
    pairs = compared(partial(attention.fused_grid_attention, cut=cut), partial(official, cut=cut), numbers)
    assert farthest(pairs) < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["49 slots", "uneven, shifted", "81 slots"])
def test_half_precision(name, dtype, interpreted, official, compared, farthest):
    """In 16 bit, kernels stay close to the official formula in float64, in values and gradients."""
    cut, numbers = problem(name, dtype)
    pairs = compared(partial(attention.fused_grid_attention, cut=cut), partial(official, cut=cut), numbers)
    grad_context, grad_qkv, _, grad_bias = pairs  # the scale's gradient is a small sum of large numbers
    assert pairs[0][0].dtype == pairs[1][0].dtype == dtype
    assert farthest([grad_context, grad_qkv, grad_bias]) < {torch.bfloat16: 2e-2, torch.float16: 2e-3}[dtype]


def test_half_precision_is_better_than_the_official(interpreted, official, farthest):
    """Kernels round scores less than the official formula does in bfloat16, with the sharpest scale that there is."""
    cut, (qkv, _, bias) = problem("64 slots", torch.bfloat16)
    scale = torch.full((2,), 100.0)
    exact = official(qkv.double(), scale.double(), bias.double(), cut)
    ours = attention.fused_grid_attention(qkv, scale, bias, cut)
    theirs = official(qkv, scale.bfloat16(), bias.bfloat16(), cut)
    assert farthest([(ours, exact)]) < farthest([(theirs, exact)]) / 4


@pytest.mark.parametrize("name", ["49 slots", "large clip"])
def test_the_same_bits_in_every_run(name, interpreted, compared):
    """Gradients are summed in a fixed order."""
    cut, numbers = problem(name)
    kernels = partial(attention.fused_grid_attention, cut=cut)
    assert all(torch.equal(*pair) for pair in compared(kernels, kernels, numbers, torch.float32))


def test_widths_that_are_no_power_of_two(interpreted, compared, farthest):
    """Channels of a head are filled up to a tile."""
    cut, numbers = problem("line", width=24)
    pairs = compared(partial(attention.fused_grid_attention, cut=cut), partial(plain.grid_attention, cut=cut), numbers)
    assert farthest(pairs) < 1e-5


@pytest.mark.parametrize("name", ["49 slots", "large clip"])
def test_tokens_of_zeros_have_finite_gradients(name, interpreted, compared):
    """A query or key without a direction spoils nothing."""
    cut, (qkv, scale, bias) = problem(name)
    qkv[:, 0] = 0
    kernels, plainly = (partial(f, cut=cut) for f in (attention.fused_grid_attention, plain.grid_attention))
    pairs = compared(kernels, plainly, (qkv, scale, bias))
    assert all(ours.isfinite().all() for ours, _ in pairs)


def test_any_strides(interpreted):
    """Queries, keys and values need not be contiguous."""
    cut, (qkv, scale, bias) = problem("line")
    strided = qkv.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(
        attention.fused_grid_attention(strided, scale, bias, cut), attention.fused_grid_attention(qkv, scale, bias, cut)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"qkv": torch.zeros(2, 20, 3, 2, 129)}, "at most 128 channels a head, got 129"),
        ({"qkv": torch.zeros(2, 20, 3, 2, 16).double()}, "got torch.float64; use swinv2.engines.gpu.plain"),
        ({"qkv": torch.zeros(2, 19, 3, 2, 16)}, "do not fit windows of 8 slots in 2 grids of \\(20,\\)"),
        ({"bias": torch.zeros(2, 7, 7)}, "do not fit windows of 8 slots"),
        ({"cut": grid_cut(2, (40, 40), (33, 33), False, "fixed", CPU)}, "at most 1024 slots in a window, got 1089"),
        ({"cut": grid_cut(2, (2,) * 4, (2,) * 4, False, "fixed", CPU)}, "at most 3 axes, got 4"),
    ],
)
def test_what_kernels_cannot_take(changes, message):
    """What is too large, of another type or of another shape is named."""
    cut, (qkv, scale, bias) = problem("line")
    given = {"qkv": qkv, "scale": scale, "bias": bias, "cut": cut} | changes
    with pytest.raises(ValueError, match=message):
        attention.fused_grid_attention(**given)


def test_without_a_gpu_it_is_the_plain_form():
    """Where there are no kernels nobody needs to know."""
    cut, numbers = problem("clip")
    assert torch.equal(attention.grid_attention(*numbers, cut), plain.grid_attention(*numbers, cut))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the check looks at some
def test_the_operators_are_what_pytorch_expects(interpreted):
    """The operators' schemas, their shapes without numbers, and their derivatives agree, for changing sizes, too."""
    cut, (qkv, scale, bias) = problem("line")
    inputs = [x.requires_grad_() for x in (qkv, scale, bias)]
    assert set(torch.library.opcheck(attention._attention, (*inputs, list(cut.starts), list(cut.window))).values()) == {
        "SUCCESS"
    }


COMPILED = """
import torch
from swinv2.engines.gpu import attention, plain
from swinv2.windows import grid_cut

def run(qkv, scale, bias):
    cut = grid_cut(qkv.shape[0], tuple(qkv.shape[1:3]), (4, 4), True, "fixed", qkv.device)
    return attention.fused_grid_attention(qkv, scale, bias, cut) * 2

graphs = []
compiled = torch.compile(run, fullgraph=True, dynamic=True, backend="aot_eager")
for size in ((9, 7), (6, 11)):
    numbers = [torch.randn(2, *size, 3, 2, 16), torch.rand(2) * 10, torch.rand(2, 16, 16)]
    numbers = [x.requires_grad_() for x in numbers]
    for ours, expected in zip(*(torch.autograd.grad(f(*numbers).square().sum(), numbers) for f in (compiled, run))):
        torch.testing.assert_close(ours, expected)
print("graphs", torch._dynamo.utils.counters["stats"]["unique_graphs"])
"""


def test_one_graph_holds_the_kernels_for_all_sizes(interpreted):
    """torch.compile takes the operator as it is, with gradients, in a process without this run's type checks."""
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], capture_output=True, text=True, env=environment, timeout=120
    )
    assert "graphs 1" in done.stdout, done.stderr[-3000:]
