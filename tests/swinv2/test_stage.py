"""Blocks and stages in training: which gradients are our own, and which are left to autograd."""

import pytest
import torch
from torch import nn

import swinv2
from swinv2 import SwinTransformerV2
from swinv2.routes import _grid_route
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


@pytest.mark.parametrize("name", ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"])
def test_an_adapter_in_a_block_is_called(model, name):
    """A block with other layers than its own is left to autograd."""
    block = model.layers[0].blocks[1]
    assert block.is_plain()
    adapter = Adapted(block.get_submodule(name))
    block.set_submodule(name, adapter)
    assert not block.is_plain()
    found = gradients(model, torch.randn(1, 3, 32, 32, dtype=torch.float64))
    assert found[f"layers.0.blocks.1.{name}.up.weight"].abs().max() > 0


class Replaced(nn.Module):
    """A layer that takes tokens and nothing else, as quantised ones do."""

    def __init__(self, layer):
        super().__init__()
        self.inner = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None).double()
        self.inner.load_state_dict(layer.state_dict())

    def forward(self, x):
        """The same product."""
        return self.inner(x)


@pytest.mark.parametrize("training", [True, False])
def test_any_layer_may_be_put_in_place_of_a_linear_one(model, training):
    """With the same weights it gives the same."""
    x = torch.randn(1, 3, 36, 28, dtype=torch.float64)
    wanted = model.train(training)(x)[0]
    block = model.layers[0].blocks[1]
    for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"):
        block.set_submodule(name, Replaced(block.get_submodule(name)))
    torch.testing.assert_close(model(x)[0], wanted, rtol=0, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[0], wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["", "attn", "attn.qkv", "attn.proj", "norm1", "norm2", "mlp", "mlp.fc1", "mlp.fc2"])
@pytest.mark.parametrize("mode", ["training", "evaluation", "packed", "grid"])
def test_a_hook_in_a_block_is_called(model, name, mode, monkeypatch):
    """Features are taken from blocks and from within, in training and evaluation, on a GPU too."""
    if mode == "grid":  # the order of tokens for kernels, which then take the end of a branch
        monkeypatch.setattr("swinv2.stage.route", _grid_route)
    seen = []
    model.layers[0].blocks[0].get_submodule(name).register_forward_hook(
        lambda layer, given, out: seen.append((out, out.detach().clone()))
    )
    if mode == "training":
        gradients(model, torch.randn(1, 3, 16, 16, dtype=torch.float64))
    else:
        model = swinv2.optimize_for_inference(model.float()) if mode == "packed" else model.eval()
        with torch.no_grad():
            model(torch.randn(1, 3, 16, 16, dtype=next(model.parameters()).dtype))
    ((out, at_first),) = seen
    torch.testing.assert_close(out, at_first, rtol=0, atol=0)  # what was seen stays as it was


@pytest.mark.parametrize("name", ["attn", "attn.proj", "norm1", "mlp", "mlp.fc1"])
@pytest.mark.parametrize("training", [True, False])
def test_a_forward_in_place_of_a_layers_own_is_called(model, name, training):
    """As libraries put it there that move or wrap layers, before or after the model is prepared."""
    model, x = swinv2.optimize_for_inference(model.float()).train(training), torch.randn(1, 3, 16, 16)
    with torch.set_grad_enabled(training):
        before = model(x)[0]
        layer = model.layers[0].blocks[0].get_submodule(name)
        own, calls = layer.forward, []

        def forward(*given):
            calls.append(given)
            return own(*given)

        layer.forward = forward
        torch.testing.assert_close(model(x)[0], before)
        assert len(calls) == 1
        swinv2.optimize_for_inference(model).train(training)
        model(x)
    assert len(calls) == 2


def test_a_hook_may_bring_a_gradient_to_a_frozen_model(model):
    """In evaluation, with gradients on."""
    delta = torch.zeros(8, dtype=torch.float64, requires_grad=True)
    model.requires_grad_(False).eval()
    model.layers[0].blocks[1].mlp.register_forward_hook(lambda layer, given, out: out + delta)
    model(torch.randn(1, 3, 32, 32, dtype=torch.float64))[0].square().sum().backward()
    assert delta.grad.abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
def test_an_empty_batch_gives_empty_maps(model, training, dtype):
    """As where a detector finds nothing to look at."""
    model = model.to(dtype).train(training)
    with torch.no_grad():
        assert model(torch.zeros(0, 3, 36, 28, dtype=dtype))[0].shape == (0, 8, 9, 7)
    model(torch.zeros(0, 3, 36, 28, dtype=dtype))[0].sum().backward()


def test_frozen_blocks_keep_nothing(model):
    """Without a gradient to come, a block runs as in evaluation."""
    model.requires_grad_(False)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x), lambda x: x):
        model(torch.randn(1, 3, 32, 32, dtype=torch.float64))
    assert kept == []
