import pytest
import torch
from timm.models.swin_transformer_v2 import SwinTransformerV2 as TimmModel
from torch import nn
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2
from transformers import Swinv2Config, Swinv2ForImageClassification

from swinv2.backbone import SwinTransformerV2
from swinv2.classifier import ImageClassifier
from swinv2.layers import PatchMerging
from swinv2.weights.conversion import WRITABLE, from_official, has_place, to_official
from swinv2.weights.layouts import detect_format

SIZES = {"embed_dim": 24, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 3, 6), "window_size": 4}
WINDOWS = [(4, 4)] * 4


def randomised(model):
    """No weight is left at zero or one."""
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        weight.data = torch.randn(weight.shape, generator=generator)
    return model


def official_weights(**options):
    """Random weights of a small classifier."""
    model = randomised(ImageClassifier(SwinTransformerV2(**SIZES, out_indices=(3,), **options), 5))
    return to_official(model.state_dict(), "ours")


def peer(name):
    """The small classifier of another project."""
    depths, heads = list(SIZES["depths"]), list(SIZES["num_heads"])
    if name == "timm":
        return TimmModel(img_size=128, num_classes=5, **SIZES)
    if name == "torchvision":
        options = {"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2, "num_classes": 5}
        return SwinTransformer([4, 4], 24, depths, heads, [4, 4], **options)
    options = {"image_size": 128, "embed_dim": 24, "depths": depths, "num_heads": heads, "window_size": 4}
    return Swinv2ForImageClassification(Swinv2Config(**options, num_labels=5))


@pytest.mark.parametrize("target", WRITABLE)
def test_round_trip_is_exact(target):
    """Written in another layout and read again, every weight is the same to the bit."""
    weights = official_weights()
    written = from_official(weights, target, WINDOWS)
    assert detect_format(written) == target
    again = to_official(written, target)
    assert again.keys() == weights.keys()
    assert all(torch.equal(again[key], weights[key]) for key in weights)


@pytest.mark.parametrize("target", ["timm", "torchvision", "hf"])
def test_peers_load_what_is_written_strictly(target):
    """Names, shapes and buffers are exactly those that the other project has."""
    peer(target).load_state_dict(from_official(official_weights(), target, WINDOWS), strict=True)


@pytest.mark.parametrize("target", ["timm", "torchvision", "hf"])
def test_weights_of_peers_come_back_unchanged(target):
    """A peer's weights, read and written again, are its own."""
    state = randomised(peer(target)).state_dict()
    if target == "torchvision":  # the bias of the keys, which has no effect, is not kept
        for key in [key for key in state if key.endswith("qkv.bias")]:
            state[key].view(3, -1)[1] = 0
    assert detect_format(state) == target
    again = from_official(to_official(state, target), target, WINDOWS)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[key], state[key]) for key in state)


def test_mmpretrain_merges_channels_as_unfold_does():
    """The columns of the merging are in the order in which nn.Unfold gives the pixels of a block."""
    weights, image = official_weights(), torch.randn(1, 24, 6, 4)
    merging = PatchMerging(24, (2, 2))
    merging.reduction.weight.data = weights["layers.0.downsample.reduction.weight"]
    written = from_official(weights, "mmpretrain")["backbone.stages.1.downsample.reduction.weight"]
    unfolded = nn.Unfold(kernel_size=2, stride=2)(image).transpose(1, 2)  # (1, 6, 4·24)
    norm = torch.nn.functional.layer_norm(unfolded @ written.T, (48,))
    torch.testing.assert_close(merging(image.movedim(1, -1)).flatten(1, 2), norm, atol=1e-4, rtol=1e-4)


def test_names_of_mmpretrain():
    """Names as mmpretrain's own model has them."""
    keys = from_official(official_weights(), "mmpretrain")
    block = "backbone.stages.2.blocks.1"
    parts = ["attn.w_msa.q_bias", "attn.w_msa.proj.bias", "ffn.layers.0.0.bias", "ffn.layers.1.weight", "norm2.bias"]
    others = ["backbone.patch_embed.projection.bias", "backbone.norm3.weight", "head.fc.weight"]
    assert {f"{block}.{part}" for part in parts} | set(others) <= keys.keys()


def test_mmpretrain_has_extra_norms_and_a_norm_for_each_output():
    """What timm has no place for is kept where there is one, under its own name."""
    weights = to_official(randomised(SwinTransformerV2(**SIZES, extra_norm_period=1)).state_dict(), "ours")
    written = from_official(weights, "mmpretrain")
    assert {"backbone.stages.0.blocks.0.norm3.weight", "backbone.norm0.weight"} <= written.keys()
    again = to_official(written, "mmpretrain")
    assert all(torch.equal(again[key], weights[key]) for key in weights)


def test_norms_of_finer_outputs_have_no_place_in_timm():
    """Only the last features are normalised in timm."""
    assert has_place("norm.weight", "timm")
    assert not has_place("norm0.weight", "timm")
    assert not any(
        key.startswith("norm0") for key in from_official(official_weights() | {"norm0.bias": torch.zeros(24)}, "timm")
    )


@pytest.mark.parametrize("target", ["timm", "torchvision", "hf"])
def test_extra_norms_are_refused_where_they_would_be_lost(target):
    """Without its extra norms a huge model is another function."""
    with pytest.raises(ValueError, match=f"{target} lacks the extra norms of huge and giant"):
        from_official(official_weights(extra_norm_period=1), target, WINDOWS)


def test_video_weights_are_refused():
    """No other project has a video model of this kind."""
    weights = {"patch_embed.proj.weight": torch.zeros(24, 3, 2, 4, 4)}
    with pytest.raises(ValueError, match="images only, got weights of a model with 3 axes"):
        from_official(weights, "timm")


def test_unknown_target_is_refused():
    """The error lists the layouts that can be written."""
    with pytest.raises(ValueError, match="official, timm, torchvision, hf, mmpretrain, got 'keras'"):
        from_official(official_weights(), "keras")


def test_torchvision_needs_the_window():
    """Its tables cannot be made without."""
    with pytest.raises(ValueError, match="give pretrained_window_sizes or"):
        from_official(official_weights(), "torchvision")


def test_buffers_are_not_weights():
    """Masks, tables and indices depend on a size and are dropped."""
    names = ["attn_mask", "attn.relative_coords_table", "attn.relative_position_index"]
    state = official_weights() | {f"layers.0.blocks.0.{name}": torch.zeros(1) for name in names}
    assert to_official(state, "official").keys() == official_weights().keys()


def test_parts_of_other_models_keep_their_names():
    """What is not of the backbone is left alone, even if it is called like a part of it."""
    other = {"rpn.attn.query.weight": torch.zeros(1), "rpn.attn.qkv.bias": torch.zeros(3)}
    backbone = {f"backbone.{key}": value for key, value in official_weights().items()}
    assert other.keys() <= to_official(backbone | other, "official").keys()


@pytest.mark.parametrize(
    "key", ["head.fc.weight", "layers.0.blocks.0.attn.qkv.lora_A", "patch_embed.extra", "rpn.weight"]
)
def test_only_weights_of_a_classifier_have_a_place(key):
    """Whatever else is named alike is not written, least of all under a doubled name."""
    assert not has_place(key, "timm")
    written = from_official(official_weights() | {key: torch.zeros(1)}, "timm")
    assert written.keys() == from_official(official_weights(), "timm").keys()


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("layers.0.blocks.0.mlp.fc1.weight", torch.full((2, 2), float("nan")), "has 4 of 4 values that are not finite"),
        ("norm.bias", torch.zeros(3, dtype=torch.int32), "is of torch.int32, not of floating-point numbers"),
        ("patch_embed.norm.bias", torch.zeros(3, dtype=torch.complex64), "is of torch.complex64"),
        ("layers.0.blocks.0.attn.proj.weight", torch.eye(3).to_sparse(), "is not stored in full"),
        ("layers.0.blocks.0.attn.proj.bias", torch.zeros(0), "has no values; join the pieces"),
    ],
)
def test_numbers_that_are_none_are_refused(key, value, reason):
    """A tensor of the backbone is named with what is wrong with it."""
    with pytest.raises(ValueError, match=f"{key} {reason}"):
        to_official(official_weights() | {key: value}, "official")


def test_what_cannot_be_taken_apart_is_refused():
    """Biases that are not three equal parts, and mergings that are not of four pixels."""
    theirs = from_official(official_weights(), "torchvision", WINDOWS)
    with pytest.raises(ValueError, match=r"qkv.bias is \(71,\), which is not queries, keys and values"):
        to_official(theirs | {"features.1.0.attn.qkv.bias": torch.zeros(71)}, "torchvision")
    theirs = from_official(official_weights(), "mmpretrain")
    with pytest.raises(ValueError, match=r"reduction.weight is \(8, 7\), which does not merge"):
        to_official(theirs | {"backbone.stages.1.downsample.reduction.weight": torch.zeros(8, 7)}, "mmpretrain")


def test_parts_of_an_attention_that_lack_are_left_alone():
    """Without its keys, a query is no part of anything."""
    theirs = from_official(official_weights(), "hf")
    stem = "swinv2.encoder.layers.0.blocks.0.attention.self"
    del theirs[f"{stem}.key.weight"]
    found = to_official(theirs, "hf")
    assert "layers.0.blocks.0.attn.qkv.weight" not in found
    assert {"layers.0.blocks.0.attn.query.weight", "layers.0.blocks.0.attn.value.weight"} <= found.keys()


def test_two_tensors_of_one_name_are_refused():
    """Which of them is meant is not guessed."""
    with pytest.raises(ValueError, match=r"two tensors are norm.weight of the backbone"):
        to_official(official_weights() | {"norm3.weight": torch.zeros(192)}, "official")


def test_a_backbone_with_holes_is_not_written():
    """No other project could load it."""
    weights = {key: value for key, value in official_weights().items() if "blocks.0.attn.v_bias" not in key}
    with pytest.raises(ValueError, match=r"lack 4 tensors of a backbone: layers.0.blocks.0.attn.v_bias"):
        from_official(weights, "torchvision", WINDOWS)
