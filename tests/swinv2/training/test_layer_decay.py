"""Learning rate and decay of every parameter of tiny and base, against tables worked by hand."""

import pytest
import torch
from torch import nn

from swinv2 import create_model
from swinv2.training.parameter_groups import parameter_groups
from swinv2.training.schedules import OptimizerConfig

# Layer of what starts with a name, in the convention of SimMIM ("shared") and in that of MIM-Depth ("own").
TINY = {
    "patch_embed": (0, 0),
    "layers.0.blocks.0": (1, 1),
    "layers.0.blocks.1": (2, 2),
    "layers.0.downsample": (2, 3),
    "layers.1.blocks.0": (3, 4),
    "layers.1.blocks.1": (4, 5),
    "layers.1.downsample": (4, 6),
    "layers.2.blocks.0": (5, 7),
    "layers.2.blocks.1": (6, 8),
    "layers.2.blocks.2": (7, 9),
    "layers.2.blocks.3": (8, 10),
    "layers.2.blocks.4": (9, 11),
    "layers.2.blocks.5": (10, 12),
    "layers.2.downsample": (10, 13),
    "layers.3.blocks.0": (11, 14),
    "layers.3.blocks.1": (12, 15),
    "norm3": (13, 16),
}
BASE = {
    "patch_embed": (0, 0),
    "layers.0.blocks.0": (1, 1),
    "layers.0.blocks.1": (2, 2),
    "layers.0.downsample": (2, 3),
    "layers.1.blocks.0": (3, 4),
    "layers.1.blocks.1": (4, 5),
    "layers.1.downsample": (4, 6),
    "layers.2.blocks.0": (5, 7),
    "layers.2.blocks.1": (6, 8),
    "layers.2.blocks.2": (7, 9),
    "layers.2.blocks.3": (8, 10),
    "layers.2.blocks.4": (9, 11),
    "layers.2.blocks.5": (10, 12),
    "layers.2.blocks.6": (11, 13),
    "layers.2.blocks.7": (12, 14),
    "layers.2.blocks.8": (13, 15),
    "layers.2.blocks.9": (14, 16),
    "layers.2.blocks.10": (15, 17),
    "layers.2.blocks.11": (16, 18),
    "layers.2.blocks.12": (17, 19),
    "layers.2.blocks.13": (18, 20),
    "layers.2.blocks.14": (19, 21),
    "layers.2.blocks.15": (20, 22),
    "layers.2.blocks.16": (21, 23),
    "layers.2.blocks.17": (22, 24),
    "layers.2.downsample": (22, 25),
    "layers.3.blocks.0": (23, 26),
    "layers.3.blocks.1": (24, 27),
    "norm3": (25, 28),
}
DECAYS = {  # what follows in the name, and whether it decays
    "proj.weight": True,
    "proj.bias": False,
    "norm.weight": False,
    "norm.bias": False,
    "attn.logit_scale": False,
    "attn.q_bias": False,
    "attn.v_bias": False,
    "attn.qkv.weight": True,
    "attn.proj.weight": True,
    "attn.proj.bias": False,
    "attn.cpb_mlp.0.weight": False,
    "attn.cpb_mlp.0.bias": False,
    "attn.cpb_mlp.2.weight": False,
    "norm1.weight": False,
    "norm1.bias": False,
    "norm2.weight": False,
    "norm2.bias": False,
    "mlp.fc1.weight": True,
    "mlp.fc1.bias": False,
    "mlp.fc2.weight": True,
    "mlp.fc2.bias": False,
    "reduction.weight": True,
    "weight": False,  # of the last norm
    "bias": False,
}
MODELS = {"swinv2_tiny_window8_256": (TINY, 13, 16), "swinv2_base_window8_256": (BASE, 25, 28)}


def groups_by_name(model, **settings):
    """The group of each parameter, by the parameter's name."""
    groups = parameter_groups(model, 1.0, 0.05, **settings)
    found = {id(parameter): group for group in groups for parameter in group["params"]}
    return {name: found[id(parameter)] for name, parameter in model.named_parameters()}


@pytest.fixture(params=MODELS)
def named(request):
    """A classifier without memory, and its table with the last layer in both conventions."""
    with torch.device("meta"):
        return create_model(request.param, num_classes=10), *MODELS[request.param]


@pytest.mark.parametrize(("merging", "column"), [("shared", 0), ("own", 1)])
def test_every_parameter_has_the_rate_and_decay_of_the_table(named, merging, column):
    """Half the rate for each layer further from the output; the head learns at the full rate."""
    model, table, *last = named
    found = groups_by_name(model, layer_decay=0.5, layer_decay_merging=merging)
    head = {name: found.pop(name) for name in ("head.weight", "head.bias")}
    assert [(group["lr"], group["weight_decay"]) for group in head.values()] == [(1.0, 0.05), (1.0, 0.0)]
    seen = set()
    for name, group in found.items():
        part = next(part for part in sorted(table, key=len, reverse=True) if f"{name}".startswith(f"backbone.{part}."))
        kind = name.removeprefix(f"backbone.{part}.")
        assert group["lr"] == 0.5 ** (last[column] - table[part][column]), name
        assert group["weight_decay"] == (0.05 if DECAYS[kind] else 0.0), name
        seen.add(part)
    assert seen == {*table}


def test_without_layer_decay_the_conventions_are_one(named):
    """Where nothing shrinks, it does not matter what counts as a layer."""
    model, *_ = named
    rates = [
        {name: group["lr"] for name, group in groups_by_name(model, layer_decay_merging=merging).items()}
        for merging in ("shared", "own")
    ]
    assert rates[0] == rates[1] and {*rates[0].values()} == {1.0}


def test_a_recipe_chooses_the_convention():
    """`layer_decay_merging: own` reaches the groups."""
    with torch.device("meta"):
        model = nn.ModuleDict({"backbone": create_model("swinv2_tiny_window8_256").backbone})
    rates = {}
    for merging in ("shared", "own"):
        config = OptimizerConfig(lr=1.0, layer_decay=0.5, layer_decay_merging=merging)
        rates[merging] = config.groups(model)[-1]["lr"]
    assert rates == {"shared": 0.5**13, "own": 0.5**16}
