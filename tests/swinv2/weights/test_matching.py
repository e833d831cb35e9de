import pytest
import torch

from swinv2.backbone import SwinTransformerV2
from swinv2.weights.matching import check_coverage, check_variant, defect, fit, made_of

PATCHES = torch.rand(8, 3, 4, 4)
PROJECTION = "backbone.patch_embed.proj.weight"
OFFSETS = "backbone.layers.0.blocks.0.attn.cpb_mlp.0.weight"


def fitted(name, value, shape):
    """The tensor alone."""
    return fit(value, shape, name, True)[0]


def test_equal_shapes_are_left_alone():
    """A tensor that fits is the one that is loaded."""
    assert fit(PATCHES, (8, 3, 4, 4), PROJECTION, True) == (PATCHES, "")


def test_filters_of_a_grey_image_are_summed():
    """A grey image has the features that it had with its three channels alike."""
    grey = torch.rand(1, 1, 4, 4)
    expected = torch.nn.functional.conv2d(grey.expand(1, 3, 4, 4), PATCHES)
    torch.testing.assert_close(torch.nn.functional.conv2d(grey, fitted(PROJECTION, PATCHES, (8, 1, 4, 4))), expected)


def test_filters_of_more_channels_are_repeated_in_turn():
    """With n equal channels, a multiple of three, features are those of three of them."""
    image = torch.rand(1, 1, 4, 4)
    filters, change = fit(PATCHES, (8, 6, 4, 4), PROJECTION, True)
    assert change == "3 channels to 6"
    assert torch.equal(filters[:, 3:], PATCHES / 2)
    expected = torch.nn.functional.conv2d(image.expand(1, 3, 4, 4), PATCHES)
    torch.testing.assert_close(torch.nn.functional.conv2d(image.expand(1, 6, 4, 4), filters), expected)


def test_filters_of_clips_are_means_over_frames():
    """A clip of one repeated image has the image's patches."""
    image = torch.rand(1, 3, 4, 4)
    filters, change = fit(PATCHES, (8, 3, 2, 4, 4), PROJECTION, True)
    assert change == "repeated over 2 frames"
    clip = image.unsqueeze(2).expand(1, 3, 2, 4, 4)
    torch.testing.assert_close(
        torch.nn.functional.conv3d(clip, filters).squeeze(2), torch.nn.functional.conv2d(image, PATCHES)
    )


def test_channels_and_frames_change_together():
    """Both changes are made, and told."""
    filters, change = fit(PATCHES, (8, 1, 2, 4, 4), PROJECTION, True)
    assert change == "3 channels to 1 and repeated over 2 frames"
    assert torch.equal(filters[:, :, 1], PATCHES.sum(1, keepdim=True) / 2)


def test_offsets_in_time_come_first_and_have_no_effect():
    """Of an offset (t, h, w) the network of the position bias sees (h, w)."""
    weight = torch.rand(512, 2)
    wider = fitted(OFFSETS, weight, (512, 3))
    assert torch.equal(wider, torch.cat([torch.zeros(512, 1), weight], 1))


def test_a_head_of_another_shape_is_no_use():
    """It is not loaded, and why is said."""
    value, change = fit(torch.rand(5, 8), (7, 8), "head.weight", False)
    assert value is None
    assert change == "not loaded, since (5, 8) is not (7, 8)"


@pytest.mark.parametrize(
    ("name", "given", "asked"),
    [
        (PROJECTION, (8, 3, 4, 4), (8, 3, 2, 2)),
        (PROJECTION, (8, 3, 2, 4, 4), (8, 3, 4, 4)),
        (OFFSETS, (512, 3), (512, 2)),
        ("backbone.layers.0.downsample.reduction.weight", (16, 32), (16, 64)),
    ],
    ids=["patch", "clip to image", "offsets of a clip", "merging"],
)
def test_other_shapes_in_the_backbone_are_refused(name, given, asked):
    """The error has both shapes."""
    with pytest.raises(ValueError, match=r"is \(.*\) in the checkpoint and \(.*\) in the model; build the model as it"):
        fit(torch.zeros(given), asked, name, True)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"depths": (2, 2, 18, 2)}, r"swinv2_small \(embed_dim 96, depths \(2, 2, 18, 2\)"),
        ({"embed_dim": 48}, "embed_dim 48"),
        ({"num_heads": (6, 12, 24, 48)}, r"num_heads \(6, 12, 24, 48\)"),
        ({"extra_norm_period": 6}, "1 extra norms"),
        ({"depths": (2, 2, 6), "num_heads": (3, 6, 12), "out_indices": (2,)}, r"depths \(2, 2, 6\)"),
    ],
    ids=["depth", "width", "heads", "norms", "stages"],
)
def test_another_variant_is_told_by_its_weights(options, found):
    """The error says what the checkpoint is of, and what the model is."""
    with torch.device("meta"):
        given, asked = SwinTransformerV2(**options).state_dict(), SwinTransformerV2().state_dict()
    with pytest.raises(ValueError, match=f"best.pth is of another model: it has .*{found}.*the model has swinv2_tiny"):
        check_variant(given, asked, "best.pth")


def test_most_of_the_backbone_must_be_filled():
    """The error names what is lacking, and what is nearest to it."""
    inside = ["layers.0.qkv.weight", "layers.0.proj.weight", "norm.weight"]
    hint = r"fills only 1 of the backbone's 3 .* layers.0.QKV.weight \(nearest: layers.0.qkv.weight\)"
    with pytest.raises(ValueError, match=hint):
        check_coverage(inside, {"norm.weight"}, ["layers.0.QKV.weight"], "best.pth")


def test_norms_of_new_outputs_may_lack(caplog):
    """They are missing in every released file."""
    check_coverage(["layers.0.proj.weight", "norm0.weight"], {"layers.0.proj.weight"}, [], "best.pth")
    assert caplog.text == ""


def test_what_else_lacks_is_logged(caplog):
    """A backbone with holes is loaded, but not silently."""
    check_coverage(["layers.0.proj.weight", "layers.0.proj.bias"], {"layers.0.proj.weight"}, [], "best.pth")
    assert "best.pth lacks 1 tensors of the backbone: layers.0.proj.bias" in caplog.text


def test_heads_are_known_from_any_block():
    """Where the first block lacks its scale, the next one shows the heads."""
    with torch.device("meta"):
        model = SwinTransformerV2().state_dict()
    check_variant(
        {key: value for key, value in model.items() if "blocks.0.attn.logit_scale" not in key}, model, "best.pth"
    )
    check_variant({key: value for key, value in model.items() if "logit_scale" not in key}, model, "best.pth")


@pytest.mark.parametrize(
    ("value", "dtype", "reason"),
    [
        (torch.ones(2), torch.float32, ""),
        (torch.ones(2, dtype=torch.float64), torch.float16, ""),
        (torch.tensor(3), torch.int64, ""),
        (torch.tensor([1e300], dtype=torch.float64), torch.float32, "has 1 of 1 values that are not finite"),
        (torch.tensor([1.0, float("nan")]), torch.float32, "has 1 of 2 values that are not finite"),
        (torch.ones(2, dtype=torch.int8), torch.float32, "is of torch.int8, not of floating-point numbers"),
        (torch.ones(2, dtype=torch.bool), torch.float32, "is of torch.bool"),
        (torch.ones(2, dtype=torch.complex64), torch.float32, "is of torch.complex64"),
        (torch.ones(2), torch.int64, "is of torch.float32 where torch.int64 is needed"),
        (torch.ones(0), torch.float32, "has no values"),
        (torch.ones(2, device="meta"), torch.float32, "has no values"),
        (torch.eye(2).to_sparse(), torch.float32, "is not stored in full"),
    ],
)
def test_what_is_no_weight_is_said_why(value, dtype, reason):
    """Nothing of a weight in full numbers of its type."""
    assert defect(value, dtype).startswith(reason)
    assert bool(defect(value, dtype)) == bool(reason)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("layers.0.blocks.0.attn.qkv.lora_A.default.weight", "adapter"),
        ("layers.0.blocks.0.attn.qkv.base_layer.weight", "adapter"),
        ("layers.0.blocks.0.mlp.fc1.weight_orig", "pruned or normed"),
        ("layers.0.blocks.0.mlp.fc1.parametrizations.weight.original0", "computed anew"),
        ("layers.0.blocks.0.mlp.fc1.weight_g", "computed anew"),
    ],
)
def test_parts_of_weights_are_told(key, reason):
    """What LoRA, pruning and norms of weights leave in place of a weight."""
    assert reason in made_of(key)
    assert not made_of("layers.0.blocks.0.mlp.fc1.weight")
