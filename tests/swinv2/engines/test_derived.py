"""What is computed from weights, and when it is stale."""

import copy
import gc
import weakref

import pytest
import torch

from swinv2.attention import ContinuousPositionBias, pairwise
from swinv2.engines import derived
from swinv2.engines.base import FastAttention


@pytest.fixture
def attention():
    """With a position bias that matters."""
    made = FastAttention(12, 3, 2, (8, 8)).double().eval()
    torch.nn.init.normal_(made.cpb_mlp[2].weight, std=0.3)
    return made


def biases(attention, *windows, trained=(8, 8), dtype=None):
    """Of windows, as they are kept."""
    kept = attention.derived().biases(attention.cpb_mlp, windows, trained, dtype)
    return [kept[window] for window in windows]


def other_layer(module):
    """A layer of the same kind in a layer's place."""
    module.proj = torch.nn.Linear(12, 12).double()


def other_weight(module):
    """A parameter in a parameter's place."""
    module.cpb_mlp[2].weight = torch.nn.Parameter(torch.randn(3, 512, dtype=torch.float64))


def trained_by_lightning(module):
    """From a validation to the next one, with a training between that is entered by attributes, as Lightning does."""
    for part in module.modules():
        part.training = True
    module.eval()


@torch.no_grad()
@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.cpb_mlp[2].weight.mul_(2),
        lambda m: m.cpb_mlp[0].bias.data.add_(1),
        lambda m: m.cpb_mlp[0].weight.data.copy_(torch.randn(512, 2)),
        lambda m: m.cpb_mlp.load_state_dict(ContinuousPositionBias(2, 3).state_dict()),
        lambda m: m.float(),
        other_weight,
    ],
    ids=["in place", "data", "data copied", "loaded", "type", "replaced"],
)
def test_kept_bias_is_never_stale(attention, change):
    """After any change of its weights, even one that PyTorch does not count, the bias is computed anew."""
    (before,) = biases(attention, (4, 4))
    assert biases(attention, (4, 4))[0] is before
    change(attention)
    (after,) = biases(attention, (4, 4))
    assert not torch.equal(after.double(), before)
    assert torch.equal(after, attention.cpb_mlp((4, 4), (8, 8)))


@torch.no_grad()
@pytest.mark.parametrize(
    ("change", "stale"),
    [
        (lambda m: m.proj.weight.mul_(2), True),
        (lambda m: setattr(m.proj.weight, "data", torch.zeros(12, 12)), True),
        (lambda m: m.proj.weight.data.mul_(2), False),  # as its documentation says
        (lambda m: m.proj.register_forward_hook(lambda *_: None), True),
        (lambda m: setattr(m.proj, "forward", m.proj.forward), True),
        (lambda m: m.register_forward_hook(lambda *_: None), False),  # called by itself
        (other_layer, True),
        (lambda m: m.eval(), False),
        (lambda m: m.train(), True),
        (trained_by_lightning, True),
        (lambda m: m.forget(), True),
    ],
    ids=[
        "in place",
        "data",
        "data in place",
        "hook",
        "forward",
        "own hook",
        "layer",
        "eval",
        "train",
        "Lightning",
        "forget",
    ],
)
def test_what_makes_values_stale(attention, change, stale):
    """Weights and parts, but not the module's own hooks."""
    before = attention.derived()
    before.get("a value", lambda: 1)
    change(attention)
    assert (attention.derived() is not before) == stale


@torch.no_grad()
def test_no_bias_is_kept_in_training(attention):
    """Optimizers may write to weights uncounted."""
    (before,) = biases(attention.train(), (4, 4))
    assert biases(attention, (4, 4))[0] is not before
    (kept,) = biases(attention.eval(), (4, 4))
    assert kept is not before
    assert biases(attention, (4, 4))[0] is kept


@torch.no_grad()
def test_biases_of_one_training_window_are_kept(attention):
    """Not of all that there ever were."""
    for trained in range(4, 12):
        assert [*attention.derived().biases(attention.cpb_mlp, [(4, 4)], (trained, trained), None)] == [(4, 4)]
    kept = weakref.ref(biases(attention, (4, 4), trained=(5, 5))[0])
    biases(attention, (4, 4), trained=(6, 6))
    gc.collect()
    assert kept() is None


@torch.no_grad()
def test_weights_of_a_functional_call_are_held(attention):
    """So that those of the next do not get their identity."""
    weight = torch.zeros(12, 12)
    del attention.proj.weight
    attention.proj._parameters["weight"] = weight
    kept, made = attention.derived(), weakref.ref(weight)
    del weight
    attention.proj._parameters["weight"] = None
    assert made() is not None
    del kept
    attention.derived()
    assert made() is None


@torch.no_grad()
def test_kept_bias_follows_window_and_training_window(attention):
    """Another window, or another unit of its offsets, is another bias."""
    (eight,) = biases(attention, (4, 4))
    assert biases(attention, (5, 4))[0].shape == (3, 20, 20)
    assert not torch.equal(biases(attention, (4, 4), trained=(12, 12))[0], eight)
    assert torch.equal(biases(attention, (4, 4))[0], eight)


@torch.no_grad()
def test_biases_of_other_sizes_are_kept_as_far_as_there_is_room(attention, monkeypatch):
    """The network runs once for all windows within the largest; what was wanted last stays, and all that is in use."""
    monkeypatch.setattr(derived, "BIAS_BUDGET", 3 * 16**2 + 3 * 2**2)  # numbers in windows of 4 x 4 and 2 x 1
    tables, table = [], attention.cpb_mlp.table
    monkeypatch.setattr(ContinuousPositionBias, "table", lambda self, *sizes: tables.append(sizes[0]) or table(*sizes))
    whole = biases(attention, (4, 4), (3, 4))[0]
    torch.testing.assert_close(biases(attention, (4, 4), (2, 3))[1], pairwise(table((2, 3), (8, 8)), (2, 3)))
    assert biases(attention, (2, 1), (1, 1))[1].shape == (3, 1, 1)
    assert tables == [(4, 4)]
    assert biases(attention, (2, 5))[0].shape == (3, 10, 10)
    assert tables == [(4, 4), (4, 5)]
    torch.testing.assert_close(biases(attention, (4, 4))[0], whole)


@torch.no_grad()
@pytest.mark.parametrize(("device", "limit"), [("cpu", "LARGEST_ON_CPU"), ("cuda", "LARGEST_BIAS")])
def test_of_large_biases_the_table_is_kept(device, limit, attention, gpu, monkeypatch):
    """They are made of it each time; with windows of 40 x 40 those of a giant model would be of 27 GiB."""
    attention.to(device)
    monkeypatch.setattr(derived, limit, 3 * 16**2)
    monkeypatch.setattr(ContinuousPositionBias, "table", called := Counted(ContinuousPositionBias.table))
    large, small = biases(attention, (5, 4), (4, 4))
    again, kept = biases(attention, (5, 4), (4, 4))
    assert kept is small
    assert again is not large
    assert torch.equal(again, large)
    assert called.times == 1


def test_a_cpu_keeps_biases_of_large_windows():
    """Those of 32 x 32 in a detector of base size, which would take it longer to make than all else of a block."""
    assert derived.LARGEST_ON_CPU >= 32 * 32**4


class Counted:
    """A method and how often it was called."""

    def __init__(self, method):
        self.method, self.times = method, 0

    def __get__(self, instance, owner):
        """Bound to an instance."""

        def call(*given):
            self.times += 1
            return self.method(instance, *given)

        return call


@torch.no_grad()
def test_bias_is_kept_in_the_type_that_it_is_asked_for(attention):
    """Half the memory in 16 bits."""
    (full,) = biases(attention, (4, 4))
    (half,) = biases(attention, (4, 4), dtype=torch.bfloat16)
    torch.testing.assert_close(half, full.bfloat16(), rtol=0, atol=0)
    assert biases(attention, (4, 4), dtype=torch.bfloat16)[0] is half
    assert biases(attention, (4, 4))[0].dtype == torch.float64


@torch.no_grad()
def test_copies_have_nothing(attention):
    """A copy or a saved model carries no more than its weights."""
    biases(attention, (16, 16))
    assert "_derived" in vars(attention)
    assert "_derived" not in vars(copy.deepcopy(attention))


def test_what_inference_mode_keeps_serves_outside_of_it(attention):
    """And where gradients are on."""
    with torch.inference_mode():
        (kept,) = biases(attention, (4, 4))
    (kept * torch.ones((), requires_grad=True, dtype=torch.float64)).sum().backward()


def test_a_module_and_what_it_keeps_are_freed_together():
    """Without waiting for a collection of circles."""
    attention = FastAttention(12, 3, 2, (8, 8))
    kept, there = weakref.ref(attention.derived()), weakref.ref(attention)
    gc.disable()
    try:
        del attention
        assert (kept(), there()) == (None, None)
    finally:
        gc.enable()
