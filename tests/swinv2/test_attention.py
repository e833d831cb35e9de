"""Scaled cosine window attention and its position bias."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from swinv2.attention import ContinuousPositionBias, WindowAttention, pairwise
from swinv2.windows import cut

CPU = torch.device("cpu")


@pytest.fixture
def bias():
    """A position bias of two axes with weights that matter."""
    network = ContinuousPositionBias(2, 3).double().eval()
    torch.nn.init.normal_(network[2].weight, std=0.3)
    return network


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
    windows = cut(size, window, shifted, CPU)
    expected = attention_by_hand(attn, x, size, window, shifted, trained)
    found = attn(x.view(1, *size, 8), windows).flatten(0, -2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


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

    shape = tuple(min(lengths) for lengths in zip(size, window, strict=True))
    steps = [torch.arange(1 - length, length) for length in shape]
    bias = pairwise(number_of_offset(torch.stack(torch.meshgrid(*steps, indexing="ij"), -1), window)[None], shape)[0]
    windows = cut(size, window, shifted, CPU)
    found = torch.zeros_like(expected)
    for tokens, filled in zip(windows.token, windows.filled, strict=True):
        found[tokens[filled][:, None], tokens[filled]] = bias[filled][:, filled]
    assert torch.equal(found, expected)


def test_temperature_is_bounded():
    """However large the learnt scale, 1 / tau stays at most 100 (section 3.2)."""
    attn = WindowAttention(8, 2, 1, (4,)).eval()
    x, windows = torch.randn(2, 4, 8), cut((4,), (4,), False, CPU)
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
    ours = pairwise(bias.table((8, 8), (8, 8)), (3, 8))
    torch.testing.assert_close(ours, bias((3, 8), (8, 8)), rtol=0, atol=1e-6)


def test_bias_lies_between_0_and_16(bias):
    """The sigmoid keeps far offsets bounded."""
    torch.nn.init.normal_(bias[2].weight, std=100)
    table = bias.table((32, 32), (8, 8))
    assert 0 <= table.min() < 1 < 15 < table.max() <= 16


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_attention_is_accurate_under_autocast(dtype):
    """Activations times 1e3 stay finite; the error is that of half-precision linear layers, not of the logits."""
    attn = WindowAttention(64, 2, 2, (8, 8))
    for parameter in attn.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    attn.logit_scale.data.fill_(math.log(100))
    x, windows = 1000 * torch.randn(2, 8, 8, 64), cut((8, 8), (8, 8), False, CPU)
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
    exact = network((8, 8), (8, 8))
    with torch.autocast("cpu", dtype):
        assert torch.equal(network((8, 8), (8, 8)), exact)
