"""Which engine computes a block, and why no other does."""

import copy
import io
import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import nn

import swinv2
from swinv2 import explain, use_engine
from swinv2.backbone import Block
from swinv2.engines import ENGINES, Watch
from swinv2.engines.base import FastAttention, FastBlock
from swinv2.layers import LayerNorm, StochasticDepth

IMAGES = torch.randn(1, 3, 36, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def blocks(model):
    """What computes each of the two blocks."""
    return [line.partition(": ")[2] for line in explain(model, IMAGES.to(next(model.parameters()).dtype)).splitlines()]


def gradients(model, x=IMAGES):
    """Of all weights."""
    model.zero_grad()
    model(x)[0].square().mean().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def plain(model):
    """A copy that no engine computes."""
    return use_engine(copy.deepcopy(model), "plain")


def assert_same(model, other):
    """Features and gradients."""
    torch.testing.assert_close(model(IMAGES)[0], other(IMAGES)[0], rtol=0, atol=1e-10)
    found, wanted = gradients(model), gradients(other)
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert (found[name] - gradient).abs().max() <= 1e-9 * gradient.abs().max(), name
    with torch.no_grad():
        torch.testing.assert_close(model(IMAGES)[0], other(IMAGES)[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("engine", ["auto", "plain", "cpu"])
def test_the_engine_of_a_named_model(engine):
    """It is an argument, and a key of recipes."""
    config = swinv2.BackboneConfig("swinv2_tiny_window8_256", embed_dim=8, depths=[1], num_heads=[1], engine=engine)
    model = swinv2.classifier.ImageClassifier(config, 3)
    (block,) = (module for module in model.modules() if isinstance(module, Block))
    assert type(block) is (Block if engine == "plain" else FastBlock)
    text = explain(model, torch.zeros(1, 3, 32, 32))
    assert text == f"backbone.layers.0.blocks.0: {'plain, as no other was chosen' if engine == 'plain' else 'cpu'}"


def test_engines_change_at_any_time(model):
    """To the same result, with the same names of weights."""
    names, wanted = [*model.state_dict()], model.eval()(IMAGES)[0]
    for engine in ("plain", "cpu", "auto"):
        assert use_engine(model, engine) is model
        torch.testing.assert_close(model(IMAGES)[0], wanted, rtol=0, atol=1e-10)
        assert [*model.state_dict()] == names
    assert type(use_engine(model, "plain").layers[0].blocks[0]) is Block


def test_an_unknown_engine():
    """The error names those that there are; in a process without this run's type checks."""
    code = (
        "import swinv2; "
        "swinv2.create_backbone('swinv2_tiny_window8_256', depths=[1], num_heads=[3], out_indices=[0], engine='fast')"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert "ValueError: engine is one of auto, plain, cpu, gpu, got 'fast'." in done.stderr


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("gpu", "the engine gpu cannot compute a block: the tokens are on cpu; take auto or plain"),
        ("cpu", "the engine cpu cannot compute a block: the tokens are on meta; take auto or plain"),
    ],
)
def test_a_named_engine_that_cannot(model, engine, message):
    """It is an error with the reason, before anything is computed."""
    device = "meta" if engine == "cpu" else "cpu"
    with pytest.raises(ValueError, match=message):
        use_engine(model, engine).to(device)(IMAGES.to(device))


def test_what_refuses_is_told(model):
    """By each engine, where the plain form computes."""
    device = torch.device("meta")
    (one, _) = explain(copy.deepcopy(model).to(device), IMAGES.to(device)).splitlines()
    assert one == "layers.0.blocks.0: plain (gpu: the tokens are on meta; cpu: the tokens are on meta)"
    with torch.no_grad(), Watch(model.eval()) as watch:
        model(IMAGES[:0])
    assert watch.summary() == "2 blocks by plain (gpu: the tokens are on cpu; cpu: the batch is empty)"


def test_explain_leaves_the_model_as_it_was(model):
    """Without its hooks, also where the model fails."""
    explain(model, IMAGES)
    with pytest.raises(ValueError, match="the model takes"):
        explain(model, IMAGES[0, :2][None])
    assert not any(module._forward_pre_hooks for module in model.modules())


class OwnBlock(Block):
    """A user's block."""


def test_blocks_of_others_are_left_alone(model):
    """Nothing is known of what they do."""
    block = model.layers[0].blocks[0]
    block.__class__ = OwnBlock
    use_engine(model, "auto")
    assert type(block) is OwnBlock
    assert blocks(model) == ["plain: the block is a OwnBlock", "cpu"]


def test_preparing_chooses_an_engine_where_nobody_did():
    """But leaves a choice."""
    built = swinv2.SwinTransformerV2(embed_dim=8, depths=[2], num_heads=[2], out_indices=[0]).double()
    assert blocks(built) == ["plain, as no other was chosen"] * 2
    assert blocks(swinv2.optimize_for_inference(use_engine(copy.deepcopy(built), "plain"))) == blocks(built)
    assert blocks(swinv2.optimize_for_inference(built)) == ["cpu"] * 2  # float64 is not packed


class Adapted(nn.Module):
    """A layer with something of low rank beside it, as adapters do it."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down, self.up = nn.Linear(layer.in_features, 2).double(), nn.Linear(2, layer.out_features).double()

    def forward(self, x):
        """Both."""
        return self.layer(x) + self.up(self.down(x))


@pytest.mark.parametrize("name", ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"])
def test_an_adapter_in_the_place_of_a_layer_is_called(model, name):
    """And all others of its block one by one, in evaluation those of its half."""
    block = model.layers[0].blocks[1]
    block.set_submodule(name, Adapted(block.get_submodule(name)))
    assert blocks(model) == ["cpu", f"cpu, layer by layer: {name} is a Adapted"]
    assert_same(model, plain(model))
    assert gradients(model)[f"layers.0.blocks.1.{name}.up.weight"].abs().max() > 0
    with torch.no_grad():
        (first, second) = blocks(swinv2.optimize_for_inference(model.float()))
    half = "attention" if name.startswith("attn") else "MLP"
    assert (first, second) == ("cpu, prepared", f"cpu, prepared, its {half} layer by layer: {name} is a Adapted")


class OtherNorm(LayerNorm):
    """A norm of another class."""


class OtherDrop(StochasticDepth):
    """One that does something in evaluation."""

    def forward(self, x):
        """Half of it."""
        return x / 2


def other_norm(block):
    """A norm of another class with the same weights."""
    block.norm1.__class__ = OtherNorm


def other_drop(block):
    """Another branch."""
    block.drop_path = OtherDrop(0.0)


def other_type(block):
    """One layer in another type."""
    block.attn.logit_scale.data = block.attn.logit_scale.data.float()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (other_norm, "norm1 is a OtherNorm"),
        (other_drop, "drop_path is a OtherDrop"),
        (other_type, "weights are torch.float32, torch.float64, tokens torch.float64"),
    ],
)
def test_parts_of_another_kind(model, change, reason):
    """They are called, to exactly the plain result but for the attention's rounding."""
    change(model.layers[0].blocks[0])
    assert blocks(model) == [f"cpu, layer by layer: {reason}", "cpu"]
    assert_same(model, plain(model))


class OtherBlock(FastBlock):
    """A block of another class, as sharding makes them."""


def test_blocks_of_another_class(model):
    """Their layers are called."""
    model.layers[0].blocks[0].__class__ = OtherBlock
    assert blocks(model) == ["cpu, layer by layer: the block is a OtherBlock", "cpu"]
    assert_same(model, plain(model))


INSIDE = ["attn", "attn.qkv", "attn.proj", "norm1", "norm2", "mlp", "mlp.fc1", "mlp.fc2", "drop_path", "attn.cpb_mlp"]


@pytest.mark.parametrize("name", ["", *INSIDE])
@pytest.mark.parametrize("mode", ["training", "evaluation", "prepared"])
def test_a_hook_sees_the_same_on_every_engine(model, name, mode):
    """Tokens in the order of the grid, once a call, and what was seen stays as it was."""
    seen: list[tuple] = []

    def note(layer, given, out):
        seen.append((given[0], out, out.detach().clone()))

    for engine in ("plain", "auto"):
        one = use_engine(copy.deepcopy(model), engine)
        module = one.layers[0].blocks[0].get_submodule(name)
        module.register_forward_hook(note)
        one = swinv2.optimize_for_inference(one) if mode == "prepared" else one.train(mode == "training")
        with torch.set_grad_enabled(mode == "training"):
            one(IMAGES)
        expected = name and engine == "auto"
        assert (f"cpu, layer by layer: {name} has hooks or a forward of its own" in blocks(one)) == bool(expected)
        del seen[1 if engine == "plain" else 2 :]  # explaining runs it once more
    (given, out, at_first), (given2, out2, at_first2) = seen
    torch.testing.assert_close(given, given2, rtol=0, atol=1e-10)
    torch.testing.assert_close(out, out2, rtol=0, atol=1e-10)
    torch.testing.assert_close(out, at_first, rtol=0, atol=0)
    torch.testing.assert_close(out2, at_first2, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["attn", "attn.proj", "norm1", "mlp", "mlp.fc1"])
@pytest.mark.parametrize("training", [True, False])
def test_a_forward_in_place_of_a_layers_own_is_called(model, name, training):
    """As libraries put it there that move or wrap layers, before or after the model is prepared."""
    model = swinv2.optimize_for_inference(model).train(training)
    with torch.set_grad_enabled(training):
        before = model(IMAGES)[0]
        layer = model.layers[0].blocks[0].get_submodule(name)
        own, calls = layer.forward, []

        def forward(*given):
            calls.append(given)
            return own(*given)

        layer.forward = forward
        torch.testing.assert_close(model(IMAGES)[0], before)
        assert len(calls) == 1
        swinv2.optimize_for_inference(model).train(training)
        model(IMAGES)
    assert len(calls) == 2


@pytest.mark.parametrize(("name", "half"), [("attn.proj", "attention"), ("norm1", "attention"), ("mlp.fc1", "MLP")])
def test_a_hook_costs_its_half_of_the_block_alone(model, name, half):
    """In evaluation, where the other half is computed as ever."""
    model.layers[0].blocks[0].get_submodule(name).register_forward_hook(lambda *_: None)
    swinv2.optimize_for_inference(model)
    reason = f"{name} has hooks or a forward of its own"
    with torch.no_grad():
        assert blocks(model) == [f"cpu, prepared, its {half} layer by layer: {reason}", "cpu, prepared"]
    assert_same(model, plain(model))


@torch.no_grad()
def test_hooks_of_all_modules_are_called(model):
    """Those that PyTorch calls for every module there is."""
    swinv2.optimize_for_inference(model)
    seen = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, given, out: seen.append(type(module)))
    try:
        model(IMAGES)
        assert blocks(model) == ["cpu, layer by layer: there are hooks of all modules"] * 2
    finally:
        handle.remove()
    assert seen.count(FastBlock) == 4  # explaining runs it once more
    assert nn.GELU not in seen and seen.count(FastAttention) == 4


def test_a_hook_may_bring_a_gradient_to_a_frozen_model(model):
    """In evaluation, with gradients on."""
    delta = torch.zeros(8, dtype=torch.float64, requires_grad=True)
    model.requires_grad_(False).eval()
    model.layers[0].blocks[1].mlp.register_forward_hook(lambda layer, given, out: out + delta)
    model(IMAGES)[0].square().sum().backward()
    assert delta.grad.abs().max() > 0


def test_a_saved_model_keeps_its_engine(model):
    """Whole models are pickled by some."""
    file = io.BytesIO()
    with torch.no_grad():
        wanted = swinv2.optimize_for_inference(model)(IMAGES)[0]
    torch.save(model, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    with torch.no_grad():
        assert blocks(again) == ["cpu"] * 2
        torch.testing.assert_close(again(IMAGES)[0], wanted)


def count(saved, x):
    """Note how many numbers a tensor has that is saved."""
    saved.append(x.numel())
    return x


def test_checkpointing_keeps_less_for_the_same_gradients(model):
    """On every engine."""
    kept, images = {}, torch.randn(2, 3, 132, 100, dtype=torch.float64)
    wanted = gradients(plain(model), images)
    for engine in ENGINES:
        for checkpointing in (False, True):
            one = use_engine(copy.deepcopy(model), engine)
            for block in one.layers[0].blocks:
                block.checkpointing, block.strict = checkpointing, False
            saved: list[int] = []
            with torch.autograd.graph.saved_tensors_hooks(partial(count, saved), lambda x: x):
                features = one(images)[0]
            kept[engine, checkpointing] = sum(saved)
            grads = torch.autograd.grad(features.square().mean(), [*one.parameters()], allow_unused=True)
            for (name, _), grad in zip(one.named_parameters(), grads, strict=True):
                if grad is not None:
                    torch.testing.assert_close(grad, wanted[name], rtol=1e-8, atol=1e-12)
    assert all(kept[engine, True] < 0.6 * kept[engine, False] for engine in ENGINES)
