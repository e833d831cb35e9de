"""UPerNet beside that of transformers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import Swinv2Config, UperNetConfig, UperNetForSemanticSegmentation

import swinv2
from segmentation import UPerNet
from swinv2 import BackboneConfig
from swinv2.imaging.normalize import normalize

DWARF = {"embed_dim": 16, "depths": [2, 2, 2, 2], "num_heads": [1, 2, 4, 8]}


@pytest.fixture
def theirs():
    """A small UPerNet of transformers on its Swinv2, with random weights of a size that matters."""
    stages = [f"stage{i}" for i in range(1, 5)]
    backbone = Swinv2Config(image_size=256, window_size=4, out_features=stages, **DWARF)
    config = UperNetConfig(backbone_config=backbone, hidden_size=32, num_labels=7, auxiliary_channels=24)
    model = UperNetForSemanticSegmentation(config).eval()
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and "logit_scale" not in name:
            nn.init.uniform_(tensor, 0.5, 1.5) if "running_var" in name else nn.init.normal_(tensor, std=0.2)
    return model


@pytest.fixture
def ours(theirs):
    """The same network here, by loading the weights; transformers has no norm for each output."""
    backbone = BackboneConfig("swinv2_tiny_window8_256", window_size=4, **DWARF)
    model = UPerNet(backbone, 7, channels=32, auxiliary_channels=24)
    report = swinv2.load_weights(model, theirs.state_dict())
    assert report.unexpected == ()
    assert {name.split(".")[1] for name in report.missing} == {"norm0", "norm1", "norm2", "norm3"}
    model.backbone.set_pretrained_window_sizes(4)
    for level in range(4):
        setattr(model.backbone, f"norm{level}", nn.Identity())
    return model


@pytest.mark.parametrize("size", [(256, 256), (256, 384)])
@torch.no_grad()
def test_equals_transformers(ours, theirs, size):
    """With copied weights, logits of the image's size are the same."""
    images = torch.rand(2, 3, *size)
    wanted = theirs(normalize(images, torch.float32)).logits
    found = F.interpolate(ours.eval()(images), size, mode="bilinear")
    assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()


def test_losses_equal_transformers(ours, theirs):
    """The losses of both heads, weighted and added, are the same, whatever is ignored."""
    images, labels = torch.rand(2, 3, 256, 256), torch.randint(-1, 7, (2, 256, 256))
    for model in (ours, theirs):
        model.eval()  # without stochastic depth, dropout and the batch's own statistics
    ours.training = True
    losses = ours(images, labels)
    theirs.config.loss_ignore_index = -1
    with torch.no_grad():
        wanted = theirs(normalize(images, torch.float32), labels=labels).loss
    torch.testing.assert_close(losses["loss_segmentation"] + losses["loss_auxiliary"], wanted, rtol=1e-4, atol=1e-4)


def test_weights_of_mmsegmentation_load(ours):
    """Names of the heads are mmsegmentation's: such a checkpoint fills backbone and heads."""
    from swinv2.weights.conversion import from_official

    inside = {key.removeprefix("backbone."): x for key, x in ours.state_dict().items() if key.startswith("backbone.")}
    heads = {key: x for key, x in ours.state_dict().items() if not key.startswith("backbone.")}
    saved = from_official(inside, "mmpretrain") | heads
    backbone = BackboneConfig("swinv2_tiny_window8_256", window_size=4, **DWARF)
    other = UPerNet(backbone, 7, channels=32, auxiliary_channels=24)
    report = swinv2.load_weights(other, saved)
    assert report.format == "mmpretrain"
    assert report.unexpected == ()
    assert {name for name in report.missing if "norm" not in name} == set()
    torch.testing.assert_close(other.decode_head.conv_seg.weight, ours.decode_head.conv_seg.weight)


def test_no_auxiliary_head():
    """A weight of zero leaves the head out."""
    model = UPerNet(BackboneConfig("swinv2_tiny_window8_256", **DWARF), 7, channels=8, auxiliary_weight=0.0)
    losses = model(torch.rand(2, 3, 64, 64), torch.zeros(2, 64, 64, dtype=torch.int16))
    assert set(losses) == {"loss_segmentation"}
    assert not any(key.startswith("auxiliary") for key in model.state_dict())


def test_one_image_is_too_few_to_learn_from():
    """A batch of one image gives a clear error in training, and is fine in evaluation."""
    model = UPerNet(BackboneConfig("swinv2_tiny_window8_256", **DWARF), 7, channels=8)
    images, labels = torch.rand(1, 3, 64, 64), torch.zeros(1, 64, 64, dtype=torch.int16)
    with pytest.raises(ValueError, match=r"two images a step and device or more, got 1; raise data\.batch_size"):
        model(images, labels)
    assert model.eval()(images).isfinite().all()


@torch.no_grad()
def test_rows_at_a_time_change_nothing(monkeypatch):
    """In evaluation the head goes through the finest map in bands of rows, whatever their height."""
    model = UPerNet(BackboneConfig("swinv2_tiny_window8_256", **DWARF), 7, channels=8).eval()
    images = torch.rand(2, 3, 76, 92)  # 19 rows of 23
    whole = model(images)
    for places in (1, 23 * 4, 23 * 19):
        monkeypatch.setattr("segmentation.segmenters.upernet.PLACES", places)
        torch.testing.assert_close(model(images), whole)
