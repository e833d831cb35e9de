"""Scaled cosine window attention and its position bias."""

import copy
import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from swinv2 import attention
from swinv2.attention import ContinuousPositionBias, WindowAttention, pairwise
from swinv2.windows import cut

CPU = torch.device("cpu")


@pytest.fixture
def bias():
    """A position bias of two axes with weights that matter."""
    network = ContinuousPositionBias(2, 3).double().eval()
    torch.nn.init.normal_(network[2].weight, std=0.3)
    return network


@pytest.fixture
def linear_bias():
    """The ablation of it, with weights that matter."""
    network = ContinuousPositionBias(2, 3, spacing="linear").double().eval()
    torch.nn.init.normal_(network[2].weight, std=0.3)
    return network


def test_linear_spacing_gives_the_offsets_themselves(linear_bias):
    """The ablation's network sees offsets from -1 to 1 in the window of the training, and beyond in a larger one."""
    table = linear_bias.table((8, 8), (4, 4))  # offsets -7 to 7 on either axis
    for offset in [(0, 0), (3, -3), (7, -2)]:
        seen = torch.tensor([d / 3 for d in offset], dtype=torch.float64)
        wanted = 16 * torch.sigmoid(linear_bias[2](torch.relu(linear_bias[0](seen))))
        torch.testing.assert_close(table[:, offset[0] + 7, offset[1] + 7], wanted, rtol=1e-6, atol=1e-6)


def test_weights_know_their_spacing(bias, linear_bias):
    """Weights trained with one spacing are not taken for the other."""
    with pytest.raises(RuntimeError, match="linear_spacing"):
        bias.load_state_dict(linear_bias.state_dict())
    with pytest.raises(RuntimeError, match="linear_spacing"):
        linear_bias.load_state_dict(bias.state_dict())


def bias_by_hand(network, offset, trained):
    """Equations 3 and 4 for one offset."""
    scaled = [8 * d / (t - 1) for d, t in zip(offset, trained, strict=True)]
    spaced = torch.tensor([math.copysign(math.log2(1 + abs(d)) / 3, d) for d in scaled], dtype=torch.float64)
    return 16 * torch.sigmoid(network[2](torch.relu(network[0](spaced))))


def attention_by_hand(attn, x, size, window, shifted, trained):
    """Attention over the whole grid in which only pairs of tokens with equal segments on every axis meet."""
    places = list(itertools.product(*(range(s) for s in size)))
    shifts = [w // 2 if shifted and s > w else 0 for s, w in zip(size, window, strict=True)]
    regions = [tuple((p - d) // w for p, d, w in zip(place, shifts, window, strict=True)) for place in places]
    qkv = F.linear(x, attn.qkv.weight, torch.cat([attn.q_bias, torch.zeros_like(attn.q_bias), attn.v_bias]))
    q, k, v = qkv.unflatten(-1, (3, attn.num_heads, -1)).permute(1, 2, 0, 3)
    logits = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT * attn.logit_scale.clamp(max=math.log(100)).exp()
    for (i, a), (j, b) in itertools.product(enumerate(places), repeat=2):
        offset = [p - r for p, r in zip(a, b, strict=True)]
        meet = regions[i] == regions[j]
        logits[:, i, j] = logits[:, i, j] + bias_by_hand(attn.cpb_mlp, offset, trained) if meet else -torch.inf
    return attn.proj((logits.softmax(-1) @ v).transpose(0, 1).flatten(1))


@torch.no_grad()
@pytest.mark.parametrize(
    ("size", "window", "shifted"),
    [
        ((11,), (4,), True),
        ((4, 8), (4, 4), True),
        ((6, 7), (4, 4), False),
        ((6, 7), (4, 4), True),
        ((3, 9), (4, 4), True),
        ((3, 4, 5), (2, 4, 3), True),
        ((3, 4, 5), (2, 4, 3), False),
        ((5, 3, 5), (3, 2, 4), True),
        ((2, 7, 5), (8, 3, 2), True),
    ],
)
def test_attention_equals_pairs_of_tokens_taken_one_by_one(size, window, shifted):
    """In 1-D to 3-D, at any size, a token meets those of its window and no others, with the bias of their offset."""
    trained = tuple(w + 1 for w in window)
    attn = WindowAttention(8, 2, len(size), trained).double().eval()
    for parameter in attn.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(math.prod(size), 8, dtype=torch.float64)
    layout = cut(1, size, window, shifted, "fixed", CPU)
    expected = attention_by_hand(attn, x, size, window, shifted, trained)
    torch.testing.assert_close(attn(x[layout.order], layout), expected[layout.order], rtol=0, atol=1e-6)


def meetings_by_rolling(size, window, shifted):
    """Which pairs of places of an axis meet if it is padded to whole windows, rolled and cut, with a mask."""
    shift = window // 2 if shifted and size > window else 0
    window = min(window, size)
    padded = -(-size // window) * window
    rolled = [(place - shift) % padded for place in range(size)]
    wrapped = [place < shift for place in range(size)]
    pairs = itertools.product(range(size), repeat=2)
    return [rolled[i] // window == rolled[j] // window and wrapped[i] == wrapped[j] for i, j in pairs]


def number_of_offset(offsets, window):
    """A number from 1 for each offset (…, n) between the tokens of a window."""
    number = torch.zeros(offsets.shape[:-1])
    for axis, length in enumerate(window):
        number = number * (2 * length - 1) + offsets[..., axis] + length - 1
    return 1 + number


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(
    ("size", "window"),
    [
        ((8, 14, 14), (4, 7, 7)),
        ((5, 9, 11), (2, 4, 4)),
        ((7, 10, 9), (3, 5, 7)),
        ((4, 13, 6), (8, 4, 6)),
        ((9, 3, 8), (8, 2, 3)),
        ((1, 8, 15), (8, 7, 7)),
        ((6, 7, 8), (1, 1, 3)),
        ((3, 3, 3), (16, 12, 12)),
    ],
)
def test_clips_are_cut_as_if_padded_rolled_and_masked(size, window, shifted):
    """Of all pairs of a clip's tokens the same meet as in the cyclic shift, each with the bias of its own offset."""
    places = torch.cartesian_prod(*(torch.arange(length) for length in size))
    meet = torch.ones((), dtype=torch.bool)
    for axis, (length, segment) in enumerate(zip(size, window, strict=True)):
        pairs = torch.tensor(meetings_by_rolling(length, segment, shifted)).view(length, length)
        meet = meet & pairs[places[:, axis]][:, places[:, axis]]
    expected = torch.where(meet, number_of_offset(places[:, None] - places, window), 0)

    def table(largest, _):
        steps = [torch.arange(1 - length, length) for length in largest]
        return number_of_offset(torch.stack(torch.meshgrid(*steps, indexing="ij"), -1), window)[None]

    network = ContinuousPositionBias(3, 1)
    network.table = table
    layout = cut(1, size, window, shifted, "fixed", CPU)
    biases = network(layout.shapes, window)
    blocks = [bias[0] for bias, (_, count) in zip(biases, layout.groups, strict=True) for _ in range(count)]
    found = torch.zeros_like(expected)
    found[layout.order[:, None], layout.order] = torch.block_diag(*blocks)
    assert torch.equal(found, expected)


def test_temperature_is_bounded():
    """However large the learnt scale, 1 / tau stays at most 100 (section 3.2)."""
    attn = WindowAttention(8, 2, 1, (4,)).eval()
    x, windows = torch.randn(8, 8), cut(2, (4,), (4,), False, "fixed", CPU)
    attn.logit_scale.data.fill_(math.log(100))
    bounded = attn(x, windows)
    attn.logit_scale.data.fill_(50)
    assert torch.equal(attn(x, windows), bounded)


def test_bias_of_known_offsets_is_the_same_in_any_window(bias):
    """A larger window adds offsets; those that the trained window has keep their bias to 1e-6."""
    small, large = bias.table((8, 8), (8, 8)), bias.table((16, 12), (8, 8))
    torch.testing.assert_close(large[:, 8:-8, 4:-4], small, rtol=0, atol=1e-6)


def test_smaller_windows_share_the_bias_of_the_largest(bias):
    """A border window's bias is that of its own offsets."""
    ours = bias([(8, 8), (3, 8)], (8, 8))[1]
    alone = bias([(3, 8)], (8, 8))[0]
    torch.testing.assert_close(ours, alone, rtol=0, atol=1e-6)


def test_bias_lies_between_0_and_16(bias):
    """The sigmoid keeps far offsets bounded."""
    torch.nn.init.normal_(bias[2].weight, std=100)
    table = bias.table((32, 32), (8, 8))
    assert 0 <= table.min() < 1 < 15 < table.max() <= 16


@torch.no_grad()
@pytest.mark.parametrize(
    "change",
    [
        lambda m: m[2].weight.mul_(2),
        lambda m: m[0].bias.data.add_(1),
        lambda m: m[0].weight.data.copy_(torch.randn(512, 2)),
        lambda m: m.load_state_dict(ContinuousPositionBias(2, 3).state_dict()),
        lambda m: m.float(),
        lambda m: setattr(m[2], "weight", torch.nn.Parameter(torch.randn(3, 512, dtype=torch.float64))),
    ],
    ids=["in place", "data", "data copied", "loaded", "type", "replaced"],
)
def test_kept_bias_is_never_stale(bias, change):
    """After any change of the weights the bias is that of a module that never kept one."""
    before = bias([(4, 4)], (8, 8))[0]
    assert bias([(4, 4)], (8, 8))[0] is before
    change(bias)
    after = bias([(4, 4)], (8, 8))[0]
    fresh = copy.deepcopy(bias)
    fresh._kept_key = ()
    assert not torch.equal(after.double(), before)
    assert torch.equal(after, fresh([(4, 4)], (8, 8))[0])


@torch.no_grad()
def test_kept_bias_follows_window_and_training_window(bias):
    """Another window, or another unit of its offsets, is another bias."""
    eight = bias([(4, 4)], (8, 8))[0]
    assert bias([(5, 4)], (8, 8))[0].shape == (3, 20, 20)
    assert not torch.equal(bias([(4, 4)], (12, 12))[0], eight)
    assert torch.equal(bias([(4, 4)], (8, 8))[0], eight)


@torch.no_grad()
def test_biases_of_images_of_other_sizes_are_kept_as_far_as_there_is_room(bias, monkeypatch):
    """The network runs once for all windows within the largest; what was wanted last stays, and all that is in use."""
    monkeypatch.setattr(attention, "KEPT", 3 * 16**2 + 3 * 2**2)  # as many as windows of 4 x 4 and 2 x 1 have
    tables, table = [], bias.table
    monkeypatch.setattr(bias, "table", lambda *sizes: tables.append(sizes[0]) or table(*sizes))
    whole = bias([(4, 4), (3, 4)], (8, 8))[0]
    torch.testing.assert_close(bias([(4, 4), (2, 3)], (8, 8))[1], pairwise(table((2, 3), (8, 8)), (2, 3)))
    assert list(bias._kept) == [(3, 4), (4, 4), (2, 3)]
    assert bias([(2, 1), (1, 1)], (8, 8))[1].shape == (3, 1, 1)
    assert list(bias._kept) == [(2, 3), (2, 1), (1, 1)]
    assert tables == [(4, 4)]
    assert bias([(2, 5)], (8, 8))[0].shape == (3, 10, 10)
    assert tables == [(4, 4), (4, 5)]
    torch.testing.assert_close(bias([(4, 4)], (8, 8))[0], whole)


@torch.no_grad()
def test_bias_is_kept_in_the_type_that_it_is_asked_for(bias):
    """Half the memory in 16 bits; with a gradient it is as exact as ever."""
    wide = bias([(4, 4)], (8, 8))[0]
    narrow = bias([(4, 4)], (8, 8), torch.bfloat16)[0]
    torch.testing.assert_close(narrow, wide.bfloat16(), rtol=0, atol=0)
    assert bias([(4, 4)], (8, 8), torch.bfloat16)[0] is narrow
    assert bias([(4, 4)], (8, 8))[0].dtype == wide.dtype
    with torch.enable_grad():
        assert bias([(4, 4)], (8, 8), torch.bfloat16)[0].dtype == wide.dtype


@torch.no_grad()
def test_copies_are_without_the_kept_bias(bias):
    """A copy or a saved model carries no more than its weights."""
    bias([(16, 16)], (8, 8))
    other = copy.deepcopy(bias)
    assert not other._kept
    assert torch.equal(other([(4, 4)], (8, 8))[0], bias([(4, 4)], (8, 8))[0])


def test_bias_kept_in_inference_mode_serves_training_too(bias):
    """What inference mode keeps is not used where a gradient flows."""
    with torch.inference_mode():
        bias([(4, 4)], (8, 8))
    with torch.no_grad():
        kept = bias([(4, 4)], (8, 8))[0]
    (kept * torch.ones((), requires_grad=True, dtype=torch.float64)).sum().backward()
    bias([(4, 4)], (8, 8))[0].sum().backward()
    assert bias[2].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_attention_is_accurate_under_autocast(dtype):
    """Activations times 1e3 stay finite; the error is that of half-precision linear layers, not of the logits."""
    attn = WindowAttention(64, 2, 2, (8, 8))
    for parameter in attn.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    attn.logit_scale.data.fill_(math.log(100))
    x, windows = 1000 * torch.randn(128, 64), cut(2, (8, 8), (8, 8), False, "fixed", CPU)
    exact = attn(x, windows)
    with torch.autocast("cpu", dtype):
        half = attn(x, windows)
    half.mean().backward()
    assert half.isfinite().all()
    assert all(p.grad.isfinite().all() for p in attn.parameters())
    assert (half - exact).abs().mean() < 20 * torch.finfo(dtype).eps * exact.abs().mean()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_bias_is_computed_in_float32_under_autocast(dtype):
    """The position bias is the same to the last bit, whatever autocast does around it."""
    network = ContinuousPositionBias(2, 3)
    exact = network([(8, 8)], (8, 8))[0]
    with torch.autocast("cpu", dtype):
        assert torch.equal(network([(8, 8)], (8, 8))[0], exact)
