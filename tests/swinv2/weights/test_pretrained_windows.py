import argparse
import json
import math
import os

import pytest
import torch
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2

from swinv2.backbone import SwinTransformerV2
from swinv2.classifier import ImageClassifier
from swinv2.weights.conversion import from_official, to_official
from swinv2.weights.pretrained_windows import architecture, configuration, training_windows

SIZES = {"embed_dim": 8, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 2, 2), "window_size": 4}
WINDOWS = [(4, 4)] * 4
TABLE = "layers.0.blocks.0.attn.relative_coords_table"
PATCHES = {"patch_embed.proj.weight": torch.zeros(8, 3, 4, 4)}


def official_weights():
    """Weights of a small classifier."""
    return to_official(ImageClassifier(SwinTransformerV2(**SIZES, out_indices=(3,)), 5).state_dict(), "ours")


def table(window, trained):
    """Relative coordinates of a window in another's unit, (1, 2·w - 1, 2·w - 1, 2)."""
    steps = torch.arange(1 - window, window) * 8 / (trained - 1)
    steps = steps.sign() * torch.log2(1 + steps.abs()) / math.log2(8)
    return torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).unsqueeze(0)


def test_window_of_the_training_is_read_from_a_peer():
    """The tables of torchvision tell the window."""
    options = {"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2, "num_classes": 5}
    theirs = SwinTransformer([4, 4], 8, [1, 1, 1, 1], [1, 2, 2, 2], [4, 4], **options)
    windows, origin = training_windows(theirs.state_dict(), "torchvision", "")
    assert (windows, origin) == (WINDOWS, "the checkpoint")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("window", "trained"), [(24, 12), (12, 6), (16, 16), (8, 16), (40, 12), (64, 8)])
def test_window_of_the_training_is_read_from_a_table(window, trained, dtype):
    """A table of any window tells in which unit it measures, in half precision too."""
    state = {TABLE: table(window, trained).to(dtype)}
    assert training_windows(state | {"patch_embed.proj.weight": torch.zeros(1)}, "official", "")[0] == [(trained,) * 2]


def test_own_checkpoints_tell_the_window_of_the_training():
    """The window travels with our weights, for each stage and axis."""
    windows = [(12, 10), (12, 10), (12, 10), (6, 5)]
    model = ImageClassifier(SwinTransformerV2(**SIZES, pretrained_window_sizes=windows), 5)
    assert training_windows(model.state_dict(), "ours", "") == (windows, "the checkpoint")


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("hf-hub:timm/swinv2_tiny_window16_256.ms_in1k", [16, 16, 16, 8]),
        ("https://x.org/swinv2_base_patch4_window12to24_192to384_22kto1k_ft.pth", [12, 12, 12, 6]),
        ("/models/swinv2-tiny-patch4-window8-256/model.safetensors", [8, 8, 8, 8]),
        ("swinv2_tiny_window8_128.pth", [8, 8, 8, 4]),
        ("runs/img64/swinv2_tiny_window8_256_img128.pth", [8, 8, 8, 4]),
        ("swinv2_tiny_window16_256.img_size=512.ckpt", [16, 16, 16, 16]),
        ("swinv2_tiny_window8_256-128x128/best.pth", [8, 8, 8, 4]),
        ("swinv2_base_window12to24_192to384_img512.pth", [12, 12, 12, 6]),
        ("swinv2_tiny_window8_256_epoch=12-step=300.ckpt", [8, 8, 8, 8]),
    ],
)
def test_window_of_the_training_is_read_from_a_name(name, sizes):
    """Where there are no tables, a name as of the released files tells the window, cut to the stage's map."""
    windows, origin = training_windows(from_official(official_weights(), "timm"), "timm", name)
    assert (windows, origin) == ([(size, size) for size in sizes], "its name")


def test_window_of_the_training_may_be_unknown():
    """Weights without tables under any name say nothing."""
    windows, origin = training_windows(official_weights(), "official", "best.pth")
    assert windows is None
    assert origin == "the model, since the checkpoint does not say"


@pytest.mark.parametrize(
    "broken",
    [
        table(8, 8) * math.nan,
        table(8, 8) * 0,
        table(8, 8) * 9,
        table(8, 8)[0],
        table(8, 8)[..., :1],
        table(8, 8).int(),
        torch.zeros(0),
    ],
    ids=["nan", "zeros", "large", "flat", "one axis", "whole numbers", "empty"],
)
def test_broken_tables_are_refused(broken):
    """A table that measures in no unit is named."""
    with pytest.raises(ValueError, match=rf"{TABLE} should hold the offsets .* take the whole checkpoint"):
        training_windows(PATCHES | {TABLE: broken}, "official", "")


def test_a_window_of_one_token_has_no_unit():
    """The authors' table of it is a division by zero, and of no effect."""
    one = PATCHES | {TABLE: torch.full((1, 1, 1, 2), math.nan)}
    assert training_windows(one, "official", "")[0] == [(1, 1)]


@pytest.mark.parametrize(
    "noted",
    [
        torch.tensor([[8.0, math.nan]]),
        torch.tensor([[8, 0]]),
        torch.tensor([[8]]),
        torch.tensor([[8, 8], [8, 8]]),
        torch.tensor([[8.5, 8.0]]),
        torch.tensor(8),
        torch.tensor([[8j, 8]]),
    ],
    ids=["nan", "zero", "axis", "stage", "half", "scalar", "complex"],
)
def test_broken_notes_of_windows_are_refused(noted):
    """What our checkpoints note must be tokens for each stage and axis."""
    with pytest.raises(
        ValueError, match=r"_extra_state should hold the windows of the training as \(1, 2\) whole numbers"
    ):
        training_windows(PATCHES | {"_extra_state": noted}, "ours", "")


def test_some_tables_are_too_few():
    """Where one stage has no table, the name is asked."""
    weights = official_weights() | {TABLE: table(8, 8)}
    assert training_windows(weights, "official", "")[0] is None
    assert training_windows(weights, "official", "swinv2_tiny_window8_256.pth")[1] == "its name"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"img_size": 128}, "swinv2_tiny_window8_256_img128"),
        ({"img_size": None}, "swinv2_tiny_window8_256"),
        ({"model_kwargs": {"img_size": 64}}, "swinv2_tiny_window8_256_img64"),
        ({"model_kwargs": {"img_size": (64, 64)}}, "swinv2_tiny_window8_256_img64"),
        ({"model_kwargs": {"img_size": (64, 32)}}, ""),
    ],
)
def test_training_of_timm_notes_the_model(options, name):
    """Its checkpoints have the name of the model and the options of the command."""
    args = argparse.Namespace(**options)
    assert architecture({"arch": "swinv2_tiny_window8_256", "args": args}) == name
    assert architecture({"arch": 3, "args": None}) == ""


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (
            {"architecture": "swinv2_tiny_window8_256", "model_args": {"img_size": [128, 128]}},
            "swinv2_tiny_window8_256_img128",
        ),
        ({"architecture": "swinv2_tiny_window8_256", "model_args": {"img_size": [128, 64]}}, ""),
        ({"window_size": 8, "image_size": [128, 128]}, "window8_1_img128"),
        (
            {"architecture": "swinv2_tiny_window8_256", "model_args": {"img_size": 128}},
            "swinv2_tiny_window8_256_img128",
        ),
        ({"architecture": "swinv2_tiny_window8_256"}, ""),  # its images may have had another size
        ({"window_size": 8, "image_size": 128, "pretrained_window_sizes": [0, 0, 0, 0]}, "window8_1_img128"),
        ({"window_size": 24, "image_size": 384, "pretrained_window_sizes": [12, 12, 12, 6]}, ""),
        ([1], ""),
        ("x", ""),
    ],
)
def test_a_configuration_beside_the_weights_is_read(tmp_path, content, name):
    """Folders of timm and transformers have one."""
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert configuration(tmp_path / "config.json") == name


def test_no_configuration_is_no_fault(tmp_path):
    """Most weights lie alone."""
    (tmp_path / "config.json").write_text("{")
    assert configuration(tmp_path / "config.json") == configuration(tmp_path / "none.json") == ""


def test_a_configuration_that_never_ends_is_none(tmp_path):
    """Neither a pipe nor a file of a terabyte is read."""
    os.mkfifo(tmp_path / "config.json")
    assert configuration(tmp_path / "config.json") == ""
    (tmp_path / "large.json").touch()
    os.truncate(tmp_path / "large.json", 1 << 40)
    assert configuration(tmp_path / "large.json") == ""
