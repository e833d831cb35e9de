import math
from functools import partial

import pytest
import torch

from swinv2.engines.gpu import plain
from swinv2.windows import grid_cut

CPU = torch.device("cpu")
CUTS = [
    ((20,), (8,), True, "fixed"),
    ((9, 7), (4, 4), False, "fixed"),
    ((9, 7), (4, 4), True, "fixed"),
    ((13, 9), (6, 6), True, "balanced"),
    ((3, 5), (8, 4), True, "fixed"),
    ((14, 13), (12, 12), True, "fixed"),
    ((3, 4, 5), (2, 2, 3), True, "fixed"),
    ((2, 2, 3, 2), (2, 1, 2, 2), False, "fixed"),
]


@pytest.mark.parametrize(("size", "window", "shifted", "fit"), CUTS)
def test_attention_is_the_official(size, window, shifted, fit, official, compared, farthest):
    """One gather and masked tiles give what the official formula gives window by window, and its gradients."""
    cut = grid_cut(2, size, window, shifted, fit, CPU)
    slots = math.prod(cut.window)
    numbers = [torch.randn(2, *size, 3, 2, 8), 20 * torch.rand(2), 16 * torch.rand(2, slots, slots)]
    numbers = [x.double() for x in numbers]
    pairs = compared(partial(plain.grid_attention, cut=cut), partial(official, cut=cut), numbers)
    assert farthest(pairs) < 1e-12


def test_half_precision_is_rounded_once(official, farthest):
    """Scores are float32 whatever comes in, and the context has the type of what came in."""
    cut = grid_cut(2, (9, 7), (4, 4), True, "fixed", CPU)
    qkv, scale, bias = torch.randn(2, 9, 7, 3, 2, 8).bfloat16(), torch.full((2,), 100.0), 16 * torch.rand(2, 16, 16)
    context = plain.grid_attention(qkv, scale, bias, cut)
    assert context.dtype == torch.bfloat16
    assert farthest([(context, official(qkv.double(), scale.double(), bias.double(), cut))]) < 3e-3


def test_places_are_there_and_back():
    """Each token is in one slot, and the slots without one are told."""
    there, back, filled = plain.places(grid_cut(2, (5, 7), (4, 4), True, "fixed", CPU))
    assert there.shape == (2 * 2 * 3, 16)
    assert torch.equal(there.flatten()[back], torch.arange(70))
    assert filled.sum() == 70


def test_add_norm_leaves_images_out():
    """Where `keep` is zero, tokens stay as they are; elsewhere the normalised branch is added, scaled."""
    x, branch, weight, bias = torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.rand(4), torch.rand(4)
    total = plain.add_norm(x, branch, weight, bias, 1e-5, torch.tensor([0.0, 2.0]))
    assert torch.equal(total[0], x[0])
    torch.testing.assert_close(total[1], x[1] + 2 * torch.layer_norm(branch[1], (4,), weight, bias))


def test_add_norm_is_float32_under_autocast():
    """A branch in 16 bit is normalised in the type of the weights, and their sum with tokens has it, too."""
    branch, ones = torch.randn(2, 3, 4).bfloat16(), torch.ones(4)
    assert plain.add_norm(torch.zeros(2, 3, 4), branch, ones, ones, 1e-5).dtype == torch.float32
    assert plain.add_norm(torch.zeros(2, 3, 4).bfloat16(), branch, ones, ones, 1e-5).dtype == torch.float32
