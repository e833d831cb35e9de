"""Parameter groups against tables worked by hand."""

import pytest
from torch import nn

from swinv2.backbone import SwinTransformerV2
from swinv2.training.parameter_groups import layer_id, parameter_groups


class Detector(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        self.backbone = SwinTransformerV2(embed_dim=8, depths=(1, 2), num_heads=(1, 2), out_indices=(0, 1), **settings)
        self.head = nn.Linear(16, 3)


@pytest.fixture
def detector():
    """A tiny one, with new weights."""
    return Detector()


def by_name(model, groups, key):
    """Value of `key` in the group of each parameter, by the parameter's name."""
    values = {id(parameter): group[key] for group in groups for parameter in group["params"]}
    return {name: values[id(parameter)] for name, parameter in model.named_parameters() if id(parameter) in values}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("patch_embed.proj.weight", 0),
        ("patch_embed.norm.bias", 0),
        ("layers.0.blocks.0.attn.qkv.weight", 1),
        ("layers.0.blocks.1.mlp.fc1.bias", 2),
        ("layers.0.downsample.reduction.weight", 2),
        ("layers.1.blocks.0.norm1.weight", 3),
        ("layers.1.downsample.norm.weight", 4),
        ("layers.2.blocks.5.attn.logit_scale", 10),
        ("layers.3.blocks.1.enorm.weight", 12),
        ("norm0.weight", 13),
        ("norm3.weight", 13),
    ],
)
def test_layers_are_counted_as_in_simmim(name, expected):
    """Depths 2, 2, 6, 2 make layers 0 to 13; a downsampling belongs to the block before it."""
    assert layer_id(name, [2, 2, 6, 2]) == expected


def test_learning_rate_halves_per_layer(detector):
    """With a decay of 1/2 over the layers 0 to 4 of depths 1, 2; the head outside learns at the full rate."""
    rates = by_name(detector, parameter_groups(detector, 1.0, 0.05, layer_decay=0.5), "lr")
    assert rates["backbone.patch_embed.proj.weight"] == 1 / 16
    assert rates["backbone.layers.0.blocks.0.attn.qkv.weight"] == 1 / 8
    assert rates["backbone.layers.0.downsample.reduction.weight"] == 1 / 8
    assert rates["backbone.layers.1.blocks.0.mlp.fc2.bias"] == 1 / 4
    assert rates["backbone.layers.1.blocks.1.mlp.fc2.bias"] == 1 / 2
    assert rates["backbone.norm0.weight"] == rates["backbone.norm1.weight"] == 1
    assert rates["head.weight"] == rates["head.bias"] == 1


def test_what_does_not_decay(detector):
    """Matrices decay; biases, norms, logit scales and the position bias network do not."""
    decays = by_name(detector, parameter_groups(detector, 1.0, 0.05), "weight_decay")
    attention = "backbone.layers.1.blocks.1.attn"
    matrices = (
        "head.weight",
        "backbone.patch_embed.proj.weight",
        f"{attention}.qkv.weight",
        f"{attention}.proj.weight",
    )
    assert {decays[name] for name in matrices} == {0.05}
    spared = ("logit_scale", "q_bias", "v_bias", "cpb_mlp.0.weight", "cpb_mlp.0.bias", "cpb_mlp.2.weight", "proj.bias")
    assert {decays[f"{attention}.{name}"] for name in spared} == {0.0}
    assert (
        decays["backbone.norm1.weight"] == decays["backbone.layers.0.blocks.0.norm1.weight"] == decays["head.bias"] == 0
    )


def test_groups_are_few_and_named(detector):
    """Without layer decay there are two groups; the names say what is in them."""
    groups = parameter_groups(detector, 2.0, 0.05)
    assert {group["name"] for group in groups} == {"lr*1 decay", "lr*1 no decay"}
    groups = parameter_groups(detector, 2.0, 0.05, layer_decay=0.5)
    assert len(groups) == 10
    assert [group["lr"] for group in groups[:4]] == [2.0, 2.0, 1.0, 1.0]
    assert {group["name"] for group in groups[2:4]} == {"lr*0.5 decay", "lr*0.5 no decay"}


def test_each_parameter_is_in_one_group(detector):
    """No parameter is lost and none is trained twice."""
    parameters = [id(p) for group in parameter_groups(detector, 1.0, 0.05, 0.9) for p in group["params"]]
    assert sorted(parameters) == sorted(map(id, detector.parameters()))


def test_backbone_can_be_slower_than_the_head(detector):
    """`backbone_lr_scale` multiplies every rate of the backbone, its norms included, and none outside."""
    rates = by_name(detector, parameter_groups(detector, 1.0, 0.05, layer_decay=0.5, backbone_lr_scale=0.1), "lr")
    assert rates["head.weight"] == 1
    assert rates["backbone.norm1.weight"] == 0.1
    assert rates["backbone.layers.1.blocks.1.mlp.fc1.weight"] == 0.05


def test_a_bare_backbone_has_layers_too(detector):
    """The backbone itself may be the model."""
    backbone = detector.backbone
    rates = by_name(backbone, parameter_groups(backbone, 1.0, 0.05, layer_decay=0.5), "lr")
    assert rates["patch_embed.proj.weight"] == 1 / 16


def test_frozen_parameters_are_left_out():
    """Frozen stages are in no group."""
    model = Detector(frozen_stages=1)
    names = by_name(model, parameter_groups(model, 1.0, 0.05), "lr")
    assert not any(name.startswith(("backbone.patch_embed", "backbone.layers.0")) for name in names)
    assert "backbone.layers.1.blocks.0.attn.qkv.weight" in names


def test_nothing_to_train_is_an_error(detector):
    """A model that is frozen altogether cannot be trained."""
    with pytest.raises(ValueError, match="All parameters of Detector are frozen"):
        parameter_groups(detector.requires_grad_(False), 1.0, 0.05)


@pytest.mark.parametrize("setting", [{"layer_decay": 0.9}, {"backbone_lr_scale": 0.1}])
def test_slowing_down_no_backbone_is_an_error(setting):
    """Layer decay of a model without a SwinV2 backbone would silently do nothing."""
    with pytest.raises(ValueError, match="Linear has none"):
        parameter_groups(nn.Linear(2, 2), 1.0, 0.05, **setting)
