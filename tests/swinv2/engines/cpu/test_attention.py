"""Attention that keeps no scores for the backward pass."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import swinv2
from swinv2.engines.cpu import attention as attention_core
from swinv2.engines.cpu.attention import (
    AttentionWithGrad,
    attend_in_blocks,
    attention_gradients,
    lengths_of,
    of_length,
    set_length,
)

CUTS = {
    "one shape": [((2, 3), 4)],
    "two shapes": [((2, 2), 3), ((1, 3), 2)],
    "three axes": [((2, 2, 3), 3), ((1, 2, 3), 1)],
    "one token": [((1, 1), 5)],
}


def inputs(groups, heads=2, width=4):
    """Random float64 arguments of the attention, all with a gradient."""
    torch.manual_seed(0)
    tokens = sum(math.prod(shape) * count for shape, count in groups)
    made = [torch.randn(tokens, 3, heads, width), torch.rand(heads) + 0.5]
    made += [torch.randn(heads, math.prod(shape), math.prod(shape)) for shape, _ in groups]
    return [tensor.double().requires_grad_() for tensor in made]


def by_definition(qkv, scale, groups, *biases):
    """Equation 2, window by window and head by head."""
    start, out = 0, []
    for (shape, count), bias in zip(groups, biases, strict=True):
        for _ in range(count):
            q, k, v = qkv[start : start + math.prod(shape)].permute(1, 2, 0, 3)  # (h, n, d) each
            cosines = F.cosine_similarity(q[:, :, None], k[:, None], dim=-1)
            context = (cosines * scale[:, None, None] + bias).softmax(-1) @ v
            out.append(context.transpose(0, 1).flatten(1))
            start += math.prod(shape)
    return torch.cat(out)


@pytest.mark.parametrize("groups", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("block", [1, 320, 2**23])
def test_value_and_gradients_are_those_of_the_definition(groups, block, monkeypatch):
    """In windows of any shape, however many of them are taken at a time."""
    monkeypatch.setattr(attention_core, "SCORES_IN_CACHE", block)
    given = inputs(groups)
    wanted = by_definition(*given[:2], groups, *given[2:])
    found = AttentionWithGrad.apply(*given[:2], groups, *given[2:])
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(
            attend_in_blocks(given[0], lengths_of(given[1]), groups, given[2:]), wanted, rtol=1e-12, atol=1e-12
        )
    grad = torch.randn_like(wanted)
    wanted, found = torch.autograd.grad(wanted, given, grad), torch.autograd.grad(found, given, grad)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("groups", CUTS.values(), ids=CUTS)
def test_backward_pass_gives_the_attention_once_more(groups):
    """For whoever has not kept it."""
    qkv, scale, *biases = (tensor.detach() for tensor in inputs(groups))
    wanted = attend_in_blocks(qkv, lengths_of(scale), groups, biases)
    sums = [torch.zeros_like(tensor) for tensor in (scale, *biases)]
    _, found = attention_gradients(qkv, torch.randn_like(wanted), scale, groups, biases, sums[0], sums[1:], True)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_gradients_are_those_of_small_differences():
    """Each of them, numerically."""
    groups = CUTS["two shapes"]
    given = inputs(groups)
    assert torch.autograd.gradcheck(lambda q, s, *b: AttentionWithGrad.apply(q, s, groups, *b), given)


def test_scores_are_not_kept():
    """What is saved for the backward pass of a wide window is less than one head's scores."""
    saved, groups = [], [((16, 16), 2)]
    given = [tensor.float().detach().requires_grad_() for tensor in inputs(groups, heads=4, width=8)]

    def pack(tensor):
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        AttentionWithGrad.apply(*given[:2], groups, *given[2:])
    biases = {tensor.data_ptr() for tensor in given[2:]}
    assert sum(tensor.numel() for tensor in saved if tensor.data_ptr() not in biases) < 2 * 256 * 256


def test_backward_pass_under_autocast_is_in_full_precision():
    """A loop of one's own that calls backward within autocast gets the same gradients."""
    groups = [((4, 4), 3)]
    given = [tensor.float().detach().requires_grad_() for tensor in inputs(groups)]
    out = AttentionWithGrad.apply(*given[:2], groups, *given[2:])
    wanted = torch.autograd.grad(out.square().sum(), given, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(out.square().sum(), given)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_token_without_direction_has_the_gradient_of_the_definition():
    """Where queries and keys are zero, their lengths are those of `torch.nn.functional.normalize`."""
    groups = [((2, 2), 2)]
    given = inputs(groups)
    with torch.no_grad():
        given[0][0, :2] = 0

    def plain(qkv, scale, bias):
        q, k, v = qkv.unflatten(0, (2, 4)).permute(2, 0, 3, 1, 4)  # (2, h, 4, d) each
        cosines = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT
        return (cosines * scale[:, None, None] + bias).softmax(-1) @ v

    wanted = torch.autograd.grad(plain(*given).sum(), given)
    found = torch.autograd.grad(AttentionWithGrad.apply(*given[:2], groups, *given[2:]).sum(), given)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("shortest", [1, 1e-6, 1e-20, 0])
def test_vectors_of_a_length(dtype, shortest):
    """With and without gradient, strided, and down to zero, as `torch.nn.functional.normalize` has them."""
    vectors = torch.randn(5, 3, 2, 4, generator=torch.Generator().manual_seed(0)).to(dtype)[:, :2]
    vectors[3, 1, 0] *= shortest
    wanted = torch.tensor([[3.0, 7.0], [1.0, 1.0]])  # (2, h)
    expected = F.normalize(vectors.double(), dim=-1) * wanted.unsqueeze(-1)
    tolerance = {"rtol": 2 * torch.finfo(dtype).eps, "atol": 1e-6 if dtype.itemsize == 2 else 1e-7}
    with torch.no_grad():
        torch.testing.assert_close(of_length(vectors, wanted).double(), expected, **tolerance)
        assert of_length(vectors[:0], wanted).shape == (0, 2, 2, 4)
        if dtype.itemsize >= 4:
            set_length(vectors, wanted.unsqueeze(-1).to(dtype), vectors)
            torch.testing.assert_close(vectors.double(), expected, **tolerance)


def test_frozen_backbone_gives_gradients_to_its_input():
    """Where weights are frozen the gradient still passes through."""
    backbone = swinv2.create_backbone(
        "swinv2_tiny_window8_256", embed_dim=8, depths=[2], num_heads=[2], out_indices=[0]
    )
    for parameter in backbone.parameters():
        nn.init.normal_(parameter, std=0.3).requires_grad_(False)
    image = torch.randn(1, 3, 40, 56, requires_grad=True)
    backbone(image)[0].square().sum().backward()
    assert image.grad.isfinite().all()
    assert image.grad.abs().amax(1).min() > 0
