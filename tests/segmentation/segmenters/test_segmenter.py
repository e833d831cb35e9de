"""Losses and logits of any segmenter."""

import pytest
import torch
import torch.nn.functional as F

from segmentation import SemanticFPN, UPerNet
from segmentation.segmenters.segmenter import pixel_loss
from swinv2 import BackboneConfig

DWARF = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 8]}
MODELS = {
    "upernet": lambda **options: UPerNet(
        BackboneConfig("swinv2_tiny_window8_256", **DWARF), 5, channels=8, auxiliary_channels=8, **options
    ),
    "fpn": lambda **options: SemanticFPN(
        BackboneConfig("swinv2_tiny_window8_256", **DWARF), 5, fpn_channels=8, channels=8, **options
    ),
}


def batch(size=(64, 96), classes=5):
    """Two pictures of noise with labels of noise, a part of them not known."""
    labels = torch.randint(-1, classes, (2, *size), dtype=torch.int16)
    return torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8), labels


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [(64, 96), (50, 33), (7, 5), (4, 4)])
def test_logits_have_the_finest_features_size(name, size):
    """A quarter of any size, rounded up."""
    logits = MODELS[name]().eval()(torch.rand(2, 3, *size))
    assert logits.shape == (2, 5, -(-size[0] // 4), -(-size[1] // 4))


@pytest.mark.parametrize("name", MODELS)
def test_training_gives_losses_that_reach_all_parameters(name):
    """Every parameter learns from them."""
    model = MODELS[name]()
    losses = model(*batch())
    assert set(losses) == {"loss_segmentation"} | ({"loss_auxiliary"} if name == "upernet" else set())
    torch.stack(list(losses.values())).sum().backward()
    assert [key for key, p in model.named_parameters() if p.grad is None] == []


def test_bytes_and_floats_are_the_same_image():
    """An image in uint8 and the same from 0 to 1 give the same logits."""
    model, (images, _) = MODELS["upernet"]().eval(), batch()
    torch.testing.assert_close(model(images), model(images / 255))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision(dtype):
    """Losses and logits come in float32 under autocast, and gradients are finite."""
    model, (images, labels) = MODELS["upernet"](), batch()
    with torch.autocast("cpu", dtype):
        losses = model(images, labels)
        logits = model.eval()(images)
    torch.stack(list(losses.values())).sum().backward()
    assert logits.dtype == torch.float32
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("size", [(32, 48), (30, 45)])
def test_pixel_loss_is_cross_entropy(size):
    """It equals PyTorch's on enlarged logits, its gradient too, whatever factor follows."""
    logits, (_, labels) = torch.randn(2, 5, 8, 12, requires_grad=True), batch(size)
    plain = F.cross_entropy(F.interpolate(logits, size, mode="bilinear"), labels.long(), ignore_index=-1)
    ours = pixel_loss(logits, labels.long())
    torch.testing.assert_close(ours, plain)
    (wanted,) = torch.autograd.grad(0.4 * plain, logits)
    (found,) = torch.autograd.grad(0.4 * ours, logits)
    torch.testing.assert_close(found, wanted)


def test_void_has_no_loss():
    """A batch of which nothing is known gives a loss of zero and gradients of zero, not of NaN."""
    logits = torch.randn(1, 5, 8, 12, requires_grad=True)
    loss = pixel_loss(logits, torch.full((1, 32, 48), -1))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda labels: None, "training needs labels, got None"),
        (lambda labels: labels[:, :-1], r"labels have shape \(2, 63, 96\), the images \(2, 3, 64, 96\)"),
        (lambda labels: labels + 1, "labels run from 0 to 5; the model has num_classes=5, labels are 0 to 4, and -1"),
        (lambda labels: labels - 1, "labels run from -2 to 3"),
    ],
)
def test_wrong_labels_are_errors(change, message):
    """The message says what is wrong and what would be right."""
    images, labels = batch()
    with pytest.raises(ValueError, match=message):
        MODELS["fpn"]()(images, change(labels))


def test_number_of_classes_is_needed():
    """A model cannot be built without it."""
    with pytest.raises(ValueError, match="num_classes must be at least 1, got None"):
        UPerNet(BackboneConfig("swinv2_tiny_window8_256", **DWARF))


@pytest.mark.parametrize("head", [UPerNet, SemanticFPN])
def test_one_feature_map_is_too_few(head):
    """The heads join maps of several resolutions."""
    with pytest.raises(ValueError, match="needs two feature maps or more, got 1; set out_indices"):
        head(BackboneConfig("swinv2_tiny_window8_256", out_indices=[3], **DWARF), 5)
