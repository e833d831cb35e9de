import pytest

from swinv2.weights.layouts import LAYOUTS, backbone_prefixes, detect_format, last_stage, rename

OFFICIAL = {
    "patch_embed.proj.weight",
    "layers.0.blocks.0.attn.cpb_mlp.0.weight",
    "layers.0.downsample.reduction.weight",
    "layers.1.blocks.0.attn.cpb_mlp.0.weight",
    "head.weight",
}
TIMM = {key.replace("layers.0.down", "layers.1.down").replace("head", "head.fc") for key in OFFICIAL}
KEYS = {
    "official": OFFICIAL,
    "timm": TIMM,
    "torchvision": {"features.0.0.weight", "features.1.0.attn.cpb_mlp.0.weight", "head.weight"},
    "hf": {
        "swinv2.embeddings.patch_embeddings.projection.weight",
        "swinv2.encoder.layers.0.blocks.0.attention.self.continuous_position_bias_mlp.0.weight",
    },
    "mmpretrain": {
        "backbone.patch_embed.projection.weight",
        "backbone.stages.0.blocks.0.attn.w_msa.cpb_mlp.0.weight",
    },
    "simmim": {"encoder.patch_embed.proj.weight", "encoder.layers.0.blocks.0.attn.rpe_mlp.0.weight"},
    "ours": {f"backbone.{key}" for key in OFFICIAL} | {"backbone._extra_state"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_told_by_its_keys(layout):
    """The keys of each project are recognised."""
    assert detect_format(KEYS[layout]) == layout


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_model_may_lie_at_any_depth(layout):
    """Keys within a larger model are recognised as well."""
    assert detect_format({f"module.student.{key}" for key in KEYS[layout]}) == layout


def test_pretraining_with_official_names_is_simmim():
    """A masked-image model of the official repository has the new name of the bias network, and a mask token."""
    assert detect_format({f"encoder.{key}" for key in OFFICIAL} | {"encoder.mask_token"}) == "simmim"


def test_headless_timm_weights_are_told_by_the_place_of_merging():
    """Merging belongs to the stage after it in timm, even if there is no classifier."""
    assert detect_format(TIMM - {"head.fc.weight"}) == "timm"


def test_swin_v1_is_refused():
    """A file of Swin V1 has names of the same kind but no bias network."""
    with pytest.raises(ValueError, match="Swin V1's; use a file of Swin V2"):
        detect_format({"patch_embed.proj.weight", "layers.0.blocks.0.attn.relative_position_bias_table"})


def test_a_backbone_without_patches_is_refused():
    """The error says that it is a part of SwinV2."""
    with pytest.raises(ValueError, match="networks for the position bias, but no patch embedding; give the file of"):
        detect_format(KEYS["official"] - {"patch_embed.proj.weight"})


def test_names_are_those_of_whole_modules():
    """What ends like a prefix of a layout is none of it."""
    assert list(backbone_prefixes({f"my{key}" for key in KEYS["official"]})) == []
    assert list(backbone_prefixes({f"layers.0.{key}" for key in KEYS["official"]})) == ["layers.0."]


def test_whole_backbones_come_first():
    """Before those that lack their patch embedding."""
    whole = {f"b.{key}" for key in KEYS["official"]}
    part = {f"a.{key}" for key in KEYS["official"] if "patch" not in key}
    assert list(backbone_prefixes(sorted(part | whole))) == ["b.", "a."]


def test_the_last_stage_has_all_others_before_it():
    """A key with a number out of any order is of no stage."""
    assert last_stage({"layers.0.x", "layers.1.x", "layers.999999999.x"}) == 1


def test_another_network_is_refused():
    """Keys of another network are named in the error, with the layouts that are known."""
    with pytest.raises(
        ValueError, match=r"2 keys \(conv1.weight, fc.weight, …\): known are the layouts ours, official"
    ):
        detect_format({"conv1.weight", "fc.weight"})


@pytest.mark.parametrize(
    ("key", "own"),
    [
        ("layers.2.blocks.11.mlp.fc2.bias", "features.5.11.mlp.3.bias"),
        ("layers.1.downsample.norm.weight", "features.4.norm.weight"),
        ("patch_embed.norm.weight", "features.0.2.weight"),
        ("norm.weight", "norm.weight"),
    ],
)
def test_names_go_there_and_back(key, own):
    """A name is found in the other layout and from there again."""
    names = LAYOUTS["torchvision"].names
    assert rename(key, names) == own
    assert rename(own, [pair[::-1] for pair in names]) == key


def test_only_whole_names_are_replaced():
    """A name that merely begins alike stays."""
    assert rename("normalise.weight", [("norm", "layernorm")]) == "normalise.weight"
