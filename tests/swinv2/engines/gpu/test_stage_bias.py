from functools import partial

import pytest
import torch
from torch import nn
from torch.distributed._composable import checkpoint as composable
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from swinv2.attention import ContinuousPositionBias
from swinv2.backbone import SwinTransformerV2
from swinv2.engines import use_engine
from swinv2.engines.gpu import engine, stage_bias
from swinv2.engines.gpu.stage_bias import stacked

WINDOWS = [((8, 8), (8, 8)), ((5, 7), (8, 8)), ((3, 4, 5), (8, 7, 7)), ((9,), (9,))]


def networks(axes, number=3, dtype=torch.float64):
    """With weights that matter."""
    made = [ContinuousPositionBias(axes, 2, 16).to(dtype) for _ in range(number)]
    for network in made:
        nn.init.normal_(network[2].weight, std=0.3)
    return made


@pytest.mark.parametrize(("window", "trained"), WINDOWS)
def test_all_at_once_are_as_one_by_one(window, trained):
    """Values, and gradients of all weights."""
    made = networks(len(window))
    found, wanted = stacked(made, window, trained), [network(window, trained) for network in made]
    weights = [weight for network in made for weight in network.parameters()]
    slopes = [torch.randn_like(bias) for bias in wanted]
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    grads = (
        torch.autograd.grad(sum((bias * slope).sum() for bias, slope in zip(biases, slopes, strict=True)), weights)
        for biases in (found, wanted)
    )
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_weights_in_16_bits():
    """Biases are float32 all the same."""
    made = networks(2, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        for ours, network in zip(stacked(made, (8, 8), (8, 8)), made, strict=True):
            torch.testing.assert_close(ours, network((8, 8), (8, 8)), rtol=1e-5, atol=1e-5)
            assert ours.dtype == torch.float32


class Launches(TorchDispatchMode):
    """Counts operators that a GPU would be given."""

    number = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.number += not any(returned.alias_info for returned in function._schema.returns)
        return function(*args, **(kwargs or {}))


def test_fewer_launches():
    """Of six blocks, a third of what they have one by one."""
    made, counts = networks(2, 6), []
    for biases in (lambda: stacked(made, (8, 8), (8, 8)), lambda: [network((8, 8), (8, 8)) for network in made]):
        biases()
        with Launches() as launches:
            sum(bias.sum() for bias in biases()).backward()
        counts.append(launches.number)
    assert counts[0] < counts[1] / 3


@pytest.fixture
def model(monkeypatch):
    """Of two stages, whose tokens are taken as if they were on a GPU."""
    monkeypatch.setattr(engine, "_refusal", lambda *_: None)
    made = SwinTransformerV2(
        embed_dim=8, depths=(3, 1), num_heads=(1, 2), out_indices=(0, 1), window_size=4, drop_path_rate=0.3
    )
    for name, weight in made.named_parameters():
        if weight.ndim > 1 and "logit" not in name:
            nn.init.normal_(weight, std=0.3)
    return use_engine(made.double().train(), "gpu")


def results(model):
    """Features and gradients."""
    torch.manual_seed(0)
    out = model(torch.randn(2, 3, 36, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    return [*out, *torch.autograd.grad(sum(x.square().mean() for x in out), [*model.parameters()])]


def hooked(model):
    """Something looks at one of the networks."""
    model.layers[0].blocks[1].attn.cpb_mlp.register_forward_hook(lambda *_: None)


def wrapped(model):
    """A block in another."""
    model.layers[0].blocks[2].attn.cpb_mlp[0] = nn.Sequential(model.layers[0].blocks[2].attn.cpb_mlp[0])


def trained_otherwise(model):
    """The windows of one block's training are others."""
    model.layers[0].blocks[1].attn.trained_window = (6, 6)


def recomputed(model):
    """Blocks are computed again."""
    for block in model.layers[0].blocks:
        block.checkpointing = True


def recomputed_by_hooks(model):
    """Blocks are computed again by PyTorch's other form of checkpointing."""
    for block in model.layers[0].blocks:
        composable(block)


def recomputed_by_a_forward(model):
    """Attention is computed again by a function in the place of its own."""
    for block in model.layers[0].blocks:
        block.attn.forward = partial(checkpoint, block.attn.forward, use_reentrant=False)


def large(model):
    """Biases that are too large to be there all at once."""
    stage_bias.NUMBERS = 3 * 16**2 - 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (None, 1),
        (hooked, 0),
        (wrapped, 0),
        (trained_otherwise, 0),
        (recomputed, 0),
        (recomputed_by_hooks, 0),
        (recomputed_by_a_forward, 0),
        (large, 0),
    ],
)
def test_a_training_is_the_same(model, change, expected, monkeypatch):
    """By shared biases where blocks are alike, else one by one; nothing of it is left at the end."""
    called = []
    monkeypatch.setattr(stage_bias, "NUMBERS", stage_bias.NUMBERS)
    monkeypatch.setattr(stage_bias, "stacked", lambda *given: called.append(given) or stacked(*given))
    if change is not None:
        change(model)
    found = results(model)
    assert len(called) == expected
    wanted = results(use_engine(model, "plain"))
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert not any("shared" in vars(module) for module in model.modules())


@torch.no_grad()
def test_an_evaluation_keeps_biases_of_its_own(model, monkeypatch):
    """Those that are kept from one image to the next."""
    monkeypatch.setattr(stage_bias, "stacked", pytest.fail)
    model.eval()(torch.zeros(1, 3, 36, 28).double())
    model.train()(torch.zeros(1, 3, 36, 28).double())
