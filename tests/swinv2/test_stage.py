"""Blocks and stages in training: which gradients are our own, and which are left to autograd."""

import pytest
import torch
from torch import nn

from swinv2 import SwinTransformerV2
from swinv2.linear import Linear
from swinv2.stage import Block


@pytest.fixture
def model():
    """A small backbone whose branches are open."""
    backbone = SwinTransformerV2(embed_dim=8, depths=(2,), num_heads=(2,), window_size=4, out_indices=(0,)).double()
    for parameter in backbone.parameters():
        nn.init.normal_(parameter, std=0.3)
    return backbone.train()


def gradients(model, x):
    """Of all weights."""
    model.zero_grad()
    model(x)[0].square().mean().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_own_gradients_are_those_of_autograd(model, monkeypatch):
    """For every weight of a model, at a size with windows of several shapes."""
    x = torch.randn(2, 3, 36, 28, dtype=torch.float64)
    found = gradients(model, x)
    monkeypatch.setattr(Block, "is_plain", lambda block: False)
    wanted = gradients(model, x)
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert (found[name] - gradient).abs().max() <= 1e-10 * gradient.abs().max(), name


class Adapted(nn.Module):
    """A layer with something of low rank beside it, as adapters do it."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.weight, self.bias = layer.weight, layer.bias
        self.down, self.up = nn.Linear(layer.in_features, 2).double(), nn.Linear(2, layer.out_features).double()

    def forward(self, x, *bias):
        """Both."""
        return self.layer(x, *bias) + self.up(self.down(x))


@pytest.mark.parametrize("name", ["attn.qkv", "mlp.fc2"])
def test_an_adapter_in_a_block_is_called(model, name):
    """A block with other layers than its own is left to autograd."""
    block = model.layers[0].blocks[1]
    assert block.is_plain()
    adapter = Adapted(block.get_submodule(name))
    block.set_submodule(name, adapter)
    assert not block.is_plain()
    found = gradients(model, torch.randn(1, 3, 32, 32, dtype=torch.float64))
    assert found[f"layers.0.blocks.1.{name}.up.weight"].abs().max() > 0


def test_a_hook_in_a_block_is_called(model):
    """Features are taken from within blocks in training, too."""
    seen = []
    fc1 = model.layers[0].blocks[0].mlp.fc1
    assert isinstance(fc1, Linear)
    fc1.register_forward_hook(lambda layer, given, out: seen.append(out))
    gradients(model, torch.randn(1, 3, 32, 32, dtype=torch.float64))
    assert len(seen) == 1


def test_frozen_blocks_keep_nothing(model):
    """Without a gradient to come, a block runs as in evaluation."""
    model.requires_grad_(False)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x), lambda x: x):
        model(torch.randn(1, 3, 32, 32, dtype=torch.float64))
    assert kept == []
