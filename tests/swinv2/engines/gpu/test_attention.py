import math
import os
import subprocess
import sys
from functools import partial

import pytest
import torch

from swinv2.engines.gpu import attention, choice
from swinv2.engines.gpu.kernels.sizes import Tile
from swinv2.engines.gpu.self_check import plain_attention
from swinv2.windows import cut

CPU = torch.device("cpu")
CUTS = {  # batch, grid, window, shifted
    "line": (2, (20,), (8,), True),
    "one slot": (1, (3, 2), (1, 1), False),
    "49 slots": (1, (14, 9), (7, 7), True),
    "64 slots": (2, (8, 12), (8, 8), True),
    "clip": (1, (3, 4, 5), (2, 2, 3), True),
    "uneven": (1, (13, 9), (6, 6), False),
    "uneven, shifted": (1, (13, 9), (6, 6), True),
    "less than a window": (2, (3, 5), (8, 8), True),
    "81 slots": (1, (14, 9), (9, 9), True),
    "large clip": (1, (4, 6, 5), (4, 5, 5), True),
    "144 slots": (1, (12, 18), (12, 12), True),
    "256 slots": (1, (16, 16), (16, 16), False),
}


def problem(name, dtype=torch.float32, heads=2, width=16):
    """A cut, and queries, keys and values, scale and bias for it."""
    batch, size, window, shifted = CUTS[name]
    windows = cut(size, window, shifted, CPU)
    slots = math.prod(windows.shape)
    qkv = torch.randn(batch, *size, 3, heads, width).to(dtype)
    return windows, (qkv, 20 * torch.rand(heads), 16 * torch.rand(heads, slots, slots))


@pytest.mark.parametrize("name", CUTS)
def test_float32(name, interpreted, official, compared, farthest):
    """Kernels give what the official formula gives in float64, and its gradients."""
    windows, numbers = problem(name)
    pairs = compared(partial(attention.window_attention, windows=windows), partial(official, windows=windows), numbers)
    assert farthest(pairs) < 1e-5


def test_more_than_1024_slots(interpreted, compared, farthest, monkeypatch):
    """A window of a size that large recipes have; by large tiles, to be quick."""
    from swinv2.engines.gpu.kernels import launch

    monkeypatch.setattr(launch, "tile", lambda *_: Tile(512, 512, 4, 1))
    windows = cut((3, 20, 19), (3, 20, 19), False, CPU)
    numbers = torch.randn(1, 3, 20, 19, 3, 1, 16), 20 * torch.rand(1), 16 * torch.rand(1, 1140, 1140)
    pairs = compared(
        partial(attention.window_attention, windows=windows), partial(plain_attention, windows=windows), numbers
    )
    assert farthest(pairs) < 4e-5  # the scale's gradient is a sum over 1140 queries


@pytest.mark.parametrize("name", ["49 slots", "81 slots"])
def test_products_in_tf32(name, interpreted, official, compared, farthest):
    """The tiles of that precision, which is not interpreted, give the same."""
    windows, numbers = problem(name)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        kernels = partial(attention.window_attention, windows=windows)
        pairs = compared(kernels, partial(official, windows=windows), numbers)
    finally:
        torch.set_float32_matmul_precision(before)
    assert farthest(pairs) < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["49 slots", "uneven, shifted", "81 slots"])
def test_half_precision(name, dtype, interpreted, official, compared, farthest):
    """In 16 bit, kernels stay close to the official formula in float64, in values and gradients."""
    windows, numbers = problem(name, dtype)
    pairs = compared(partial(attention.window_attention, windows=windows), partial(official, windows=windows), numbers)
    grad_context, grad_qkv, _, grad_bias = pairs  # the scale's gradient is a small sum of large numbers
    assert pairs[0][0].dtype == pairs[1][0].dtype == dtype
    assert farthest([grad_context, grad_qkv, grad_bias]) < {torch.bfloat16: 2e-2, torch.float16: 2e-3}[dtype]


def test_half_precision_is_better_than_the_official(interpreted, official, farthest):
    """Kernels round scores less than the official formula does in bfloat16, with the sharpest scale that there is."""
    windows, (qkv, _, bias) = problem("64 slots", torch.bfloat16)
    scale = torch.full((2,), 100.0)
    exact = official(qkv.double(), scale.double(), bias.double(), windows)
    ours = attention.window_attention(qkv, scale, bias, windows)
    theirs = official(qkv, scale.bfloat16(), bias.bfloat16(), windows)
    assert farthest([(ours, exact)]) < farthest([(theirs, exact)]) / 4


@pytest.mark.parametrize("name", ["49 slots", "large clip"])
def test_the_same_bits_in_every_run(name, interpreted, compared):
    """Gradients are summed in a fixed order."""
    windows, numbers = problem(name)
    kernels = partial(attention.window_attention, windows=windows)
    assert all(torch.equal(*pair) for pair in compared(kernels, kernels, numbers, torch.float32))


def test_widths_that_are_no_power_of_two(interpreted, compared, farthest):
    """Channels of a head are filled up to a tile."""
    windows, numbers = problem("line", width=24)
    pairs = compared(
        partial(attention.window_attention, windows=windows), partial(plain_attention, windows=windows), numbers
    )
    assert farthest(pairs) < 1e-5


@pytest.mark.parametrize("name", ["49 slots", "large clip"])
def test_tokens_of_zeros_have_finite_gradients(name, interpreted, compared):
    """A query or key without a direction spoils nothing."""
    windows, (qkv, scale, bias) = problem(name)
    qkv[:, 0] = 0
    kernels, plain = (partial(f, windows=windows) for f in (attention.window_attention, plain_attention))
    pairs = compared(kernels, plain, (qkv, scale, bias))
    assert all(ours.isfinite().all() for ours, _ in pairs)


def test_any_strides(interpreted):
    """Queries, keys and values need not be contiguous."""
    windows, (qkv, scale, bias) = problem("line")
    strided = qkv.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(
        attention.window_attention(strided, scale, bias, windows), attention.window_attention(qkv, scale, bias, windows)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"qkv": torch.zeros(2, 19, 3, 2, 16)}, "do not fit windows of 8 slots in grids of 20 tokens"),
        ({"bias": torch.zeros(2, 7, 7)}, "do not fit windows of 8 slots"),
    ],
)
def test_parts_that_do_not_fit(changes, message):
    """Parts of another shape are named."""
    windows, (qkv, scale, bias) = problem("line")
    given = {"qkv": qkv, "scale": scale, "bias": bias, "windows": windows} | changes
    with pytest.raises(ValueError, match=message):
        attention.window_attention(**given)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", ["49 slots", "81 slots"])
def test_without_kernels(name, frozen, without_kernels, official, compared, farthest):
    """The same operator, its gradients with and without that of the bias, by PyTorch's operators."""
    windows, (qkv, scale, bias) = problem(name)
    given = (qkv, scale) if frozen else (qkv, scale, bias)

    def ours(qkv, scale, bias=bias):
        return attention.window_attention(qkv, scale, bias, windows)

    def theirs(qkv, scale, exact=None):
        return official(qkv, scale, bias.double() if exact is None else exact, windows)

    assert farthest(compared(ours, theirs, given)) < 1e-5


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_the_operators_without_kernels(without_kernels):
    """Schemas, shapes without numbers and derivatives agree, too."""
    assert passed(*problem("line"))
    assert passed(*problem("81 slots"), test_utils="test_faketensor")


@pytest.mark.parametrize("name", ["49 slots", "81 slots"])
def test_a_backward_pass_under_autocast(name, without_kernels):
    """Has the scores of the forward pass, in float32."""
    windows, numbers = problem(name)
    inputs = [x.requires_grad_() for x in numbers]
    out = attention.window_attention(*inputs, windows)
    wanted = torch.autograd.grad(out.square().sum(), inputs, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(out.square().sum(), inputs)
    assert all(map(torch.equal, found, wanted))


def test_ways_that_change_between_the_passes_are_seen(interpreted, monkeypatch):
    """Kernels lack what the forward pass of PyTorch's operators does not give: NaN, and not other numbers."""
    windows, numbers = problem("81 slots")
    inputs = [x.requires_grad_() for x in numbers]
    monkeypatch.setattr(choice, "unfit", lambda device: "Triton is not installed")
    out = attention.window_attention(*inputs, windows)
    monkeypatch.setattr(choice, "unfit", lambda device: None)
    assert all(grad.isnan().any() for grad in torch.autograd.grad(out.sum(), inputs))


def passed(windows, numbers, **options):
    """Whether the checks of PyTorch find nothing wrong with the operator."""
    inputs = [x.requires_grad_() for x in numbers]
    given = *inputs, list(windows.starts), list(windows.shape), windows.shifted, True
    return {*torch.library.opcheck(attention._attention, given, **options).values()} == {"SUCCESS"}


def test_each_call_compared(interpreted, monkeypatch):
    """SWINV2_KERNELS=check ends at the first deviation."""
    windows, numbers = problem("49 slots", torch.bfloat16)
    monkeypatch.setattr(attention, "mode", lambda: "check")
    attention.window_attention(*numbers, windows)
    monkeypatch.setattr(attention.pytorch_attention, "forward", lambda qkv, *_: torch.ones(1, 14, 9, 32).bfloat16())
    with pytest.raises(RuntimeError, match="a GPU kernel deviates from PyTorch's attention: relative error"):
        attention.window_attention(*numbers, windows)


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("kernels", [True, False])
def test_ways_are_timed_on_few_images(recorded, kernels, interpreted, monkeypatch):
    """As many as have a given number of scores, both passes where both will come."""
    from swinv2.engines.gpu.kernels import launch

    windows, (qkv, scale, bias) = problem("64 slots")
    called, module = [], launch if kernels else attention.pytorch_attention
    for name in ("forward", "backward"):
        way = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *given, name=name, way=way: called.append((name, len(given[0]))) or way(*given)
        )
    monkeypatch.setattr(attention, "TRIAL", 1)
    attention._try(qkv, scale, bias, windows.starts, windows, recorded, kernels)
    assert called == [("forward", 1), ("backward", 1)][: 1 + recorded]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the check looks at some
def test_the_operators_are_what_pytorch_expects(interpreted):
    """The operators' schemas, their shapes without numbers, and their derivatives agree, for changing sizes, too."""
    assert passed(*problem("line"))


COMPILED = """
import torch
from swinv2.engines.gpu import attention, choice
from swinv2.windows import cut

choice.unfit, choice.mode = lambda device: None, lambda: "on"

def run(qkv, scale, bias):
    windows = cut(tuple(qkv.shape[1:3]), (4, 4), True, qkv.device)
    return attention.window_attention(qkv, scale, bias, windows) * 2

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


@pytest.mark.parametrize("name", ["49 slots", "81 slots"])
def test_a_bias_without_gradient_costs_nothing(name, interpreted):
    """The others' gradients are the same bits, and that of the bias has no numbers."""
    from swinv2.engines.gpu.kernels import launch

    windows, (qkv, scale, bias) = problem(name)
    given = list(windows.starts), list(windows.shape)
    context, lse = launch.forward(qkv, scale, bias, *given)
    numbers = torch.randn_like(context), qkv, scale, bias, context, lse
    grads = launch.backward(*numbers, *given), launch.backward(*numbers, *given, wants_bias=False)
    assert all(torch.equal(with_it, without) for with_it, without in zip(grads[0][:2], grads[1][:2], strict=True))
    assert grads[0][2].shape == bias.shape
    assert grads[1][2].numel() == 0


@pytest.mark.parametrize("name", ["49 slots", "large clip"])
def test_kernels_write_what_is_theirs_and_all_of_it(name, interpreted):
    """Between NaN, in arrays full of NaN, nothing is left and nothing is written beside."""
    from swinv2.engines.gpu.kernels import launch

    around = []

    def empty(size, dtype, device):
        around.append((torch.full((math.prod(size) + 16,), math.nan, dtype=dtype, device=device), math.prod(size)))
        return around[-1][0][8:-8].view(size)

    windows, (qkv, scale, bias) = problem(name)
    given = list(windows.starts), list(windows.shape)
    context, lse = launch.forward(qkv, scale, bias, *given, empty=empty)
    grads = launch.backward(torch.randn_like(context), qkv, scale, bias, context, lse, *given, empty=empty)
    assert all(result.isfinite().all() for result in (context, lse, *grads))
    assert all(band[:8].isnan().all() and band[8 + size :].isnan().all() for band, size in around)


@pytest.mark.parametrize("name", ["49 slots", "81 slots"])
def test_an_empty_batch(name, interpreted):
    """No kernel starts; weights have gradients of zero."""
    windows, (qkv, scale, bias) = problem(name)
    inputs = [x.requires_grad_() for x in (qkv[:0], scale, bias)]
    out = attention.window_attention(*inputs, windows)
    assert out.shape == (0, *qkv.shape[1:-3], 32)
    grads = torch.autograd.grad(out.sum(), inputs)
    assert [grad.shape for grad in grads] == [x.shape for x in inputs]
    assert not any(grad.any() for grad in grads)


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # NumPy's, which interprets
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["64 slots", "81 slots"])
def test_what_is_not_finite_stays_so_and_where_it_is(name, value, interpreted):
    """A key that overflowed spoils its window, so that a loss scaler sees it, and no other."""
    windows, (qkv, scale, bias) = problem(name)
    qkv[0, 0, 0, 1, 0, 3] = value
    context = attention.window_attention(qkv, scale, bias, windows)
    window = tuple(slice(int(axis[1])) for axis in windows.starts)
    assert context[0][window][..., :16].isnan().all()
    context[0][window][..., :16] = 0
    assert context.isfinite().all()
