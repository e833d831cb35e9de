"""SimMIM against the published definition, and its weights in other models."""

import pytest
import torch
import torch.nn.functional as F

from swinv2 import BackboneConfig, create_backbone, load_weights
from swinv2.simmim.model import SimMIM
from swinv2.training.parameter_groups import parameter_groups

SMALL = {"embed_dim": 8, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 2, 4]}
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def config(name="swinv2_base_window12_192", **options):
    """A backbone of the least size."""
    return BackboneConfig(name, **SMALL | options)


@pytest.fixture
def model():
    """A small model whose blocks do something."""
    model = SimMIM(config())
    for name, parameter in model.named_parameters():
        if ".norm" in name or name == "mask_token":
            torch.nn.init.normal_(parameter)
    return model.eval()


@pytest.fixture
def images():
    """Two pictures in bytes."""
    return torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)


def test_hidden_tokens_are_replaced(model, images):
    """The backbone gets the mask token wherever the mask says, and the decoder turns each feature into its pixels."""
    masks = model.draw_masks(images)
    pixels = (images / 255 - MEAN) / STD
    tokens = model.backbone.patch_embed(pixels)
    hidden = masks.float().unsqueeze(-1)
    tokens = tokens * (1 - hidden) + model.mask_token * hidden
    for stage in model.backbone.stages:
        tokens = stage(tokens)
        tokens = tokens if stage.downsample is None else stage.downsample(tokens)
    features = model.backbone.norm3(tokens)  # (2, 2, 3, c)
    weight, bias = model.decoder[0].weight.flatten(1), model.decoder[0].bias
    blocks = (features @ weight.T + bias).view(2, 2, 3, 3, 32, 32)  # (b, rows, columns, channels, 32, 32)
    expected = blocks.permute(0, 3, 1, 4, 2, 5).reshape(2, 3, 64, 96)
    torch.testing.assert_close(model(images, masks), expected, rtol=1e-4, atol=1e-5)


def test_hidden_pixels_are_not_seen(model, images):
    """Whatever is in them, the prediction is the same."""
    masks = model.draw_masks(images)
    hidden = masks.repeat_interleave(4, 1).repeat_interleave(4, 2).unsqueeze(1)
    other = torch.where(hidden, 255 - images, images)
    assert torch.equal(model(images, masks), model(other, masks))
    assert not torch.equal(model(images, masks), model(255 - images, masks))


@pytest.mark.parametrize("norm", [None, 21, 5])
def test_loss_is_the_published_one(images, norm):
    """Absolute error over the hidden pixels, with the published constant, of pixels normalised where they lie."""
    model = SimMIM(config(), norm_patch_size=norm)
    masks, prediction = model.draw_masks(images), torch.randn(2, 3, 64, 96)
    target = (images / 255 - MEAN) / STD
    if norm is not None:
        pad = F.pad(target, (norm // 2,) * 4, value=torch.nan).unfold(2, norm, 1).unfold(3, norm, 1).flatten(4)
        mean = pad.nanmean(-1)
        count = (~pad.isnan()).sum(-1)
        variance = (pad - mean.unsqueeze(-1)).square().nansum(-1) / (count - 1)
        target = (target - mean) / (variance + 1e-6).sqrt()
    weight = masks.repeat_interleave(4, 1).repeat_interleave(4, 2).unsqueeze(1).float()
    expected = (F.l1_loss(prediction, target, reduction="none") * weight).sum() / (weight.sum() + 1e-5) / 3
    torch.testing.assert_close(model.loss(prediction, images, masks), expected, rtol=1e-4, atol=1e-5)


def test_masks_of_a_batch(images):
    """Each image has its own; with a generator each, the same whatever else is in the batch."""
    model = SimMIM(config(), mask_patch_size=16)
    masks = model.draw_masks(images)
    assert masks.shape == (2, 16, 24)
    assert masks.sum((1, 2)).tolist() == [15 * 16, 15 * 16]  # 15 of 24 patches of 4 x 4 tokens
    assert not torch.equal(*masks)
    alone = model.draw_masks(images[1:], [torch.Generator().manual_seed(7)])
    both = model.draw_masks(images, [torch.Generator().manual_seed(seed) for seed in (3, 7)])
    assert torch.equal(alone[0], both[1])


def test_reconstruction(images):
    """The picture is the image where it is seen; a perfect prediction gives the image back, up to rounding."""
    model = SimMIM(config(), norm_patch_size=9)
    masks = model.draw_masks(images)
    seen, guessed = model.reconstruct(torch.zeros(images.shape), images, masks)
    hidden = masks.repeat_interleave(4, 1).repeat_interleave(4, 2).unsqueeze(1).expand(images.shape)
    assert torch.equal(seen[~hidden], images[~hidden]) and torch.equal(guessed[~hidden], images[~hidden])
    assert (seen.movedim(1, -1)[hidden[:, 0]] == torch.tensor([124, 116, 104])).all()
    pixels = (images / 255 - MEAN) / STD
    pad = F.pad(pixels, (4,) * 4, value=torch.nan).unfold(2, 9, 1).unfold(3, 9, 1).flatten(4)
    mean, count = pad.nanmean(-1), (~pad.isnan()).sum(-1)
    variance = (pad - mean.unsqueeze(-1)).square().nansum(-1) / (count - 1)
    _, perfect = model.reconstruct((pixels - mean) / (variance + 1e-6).sqrt(), images, masks)
    assert (perfect.int() - images.int()).abs().max() <= 1


def test_start_of_the_mask_token():
    """Drawn from N(0, 0.02), and without decay, as the authors have it."""
    model = SimMIM(BackboneConfig("swinv2_base_window12_192", depths=[1, 1, 1, 1]))
    assert model.mask_token.shape == (1, 1, 128)
    assert 0.015 < model.mask_token.std() < 0.025 and model.mask_token.mean().abs() < 0.01
    groups = parameter_groups(model, 1e-3, 0.05)
    undecayed = {id(one) for group in groups if group["weight_decay"] == 0 for one in group["params"]}
    assert id(model.mask_token) in undecayed
    assert id(model.decoder[0].weight) not in undecayed


@pytest.mark.parametrize("norm", [1, 46, -3])
def test_neighbourhood_has_a_middle(norm):
    """Its side is odd."""
    with pytest.raises(ValueError, match=f"odd number of pixels from 3, got {norm}; use 47"):
        SimMIM(config(), norm_patch_size=norm)


def test_sides_of_images():
    """Images consist of hidden patches and of what a feature stands for."""
    model = SimMIM(config(), mask_patch_size=16)
    with pytest.raises(ValueError, match=r"multiples of 32 pixels, got \(48, 64\); set data.size"):
        model.draw_masks(torch.zeros(1, 3, 48, 64))


def official(model):
    """A state dict as the authors' pre-training writes it: windows of the training in their tables of coordinates."""
    state = {}
    for name, value in model.state_dict().items():
        if name.endswith("_extra_state"):
            continue
        name = name.replace("norm3.", "norm.") if name.startswith("backbone.norm3") else name
        state[name.replace("backbone.", "encoder.") if name.startswith("backbone.") else name] = value
    state["encoder.mask_token"] = state.pop("mask_token")
    return {"model": state, "epoch": 799}


def test_official_pretraining_fills_the_model(model):
    """Backbone, mask token and decoder come from the authors' file."""
    other = SimMIM(config())
    report = load_weights(other, official(model))
    assert (report.format, report.missing, report.unexpected, report.adapted) == ("simmim", (), (), ())
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_pretraining_starts_another_window(model, tmp_path):
    """A backbone with another window takes the weights as they are; the position bias stays in units of training."""
    path = tmp_path / "pretrained.ckpt"
    torch.save({"state_dict": {f"model.{name}": value for name, value in model.state_dict().items()}}, path)
    backbone = create_backbone("swinv2_base_window8_256", window_size=14, **SMALL)
    report = load_weights(backbone, path)
    assert report.format == "ours"
    assert report.missing == ("norm0.weight", "norm0.bias", "norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias")
    assert set(report.unexpected) == {"model.mask_token", "model.decoder.0.weight", "model.decoder.0.bias"}
    assert backbone.window_size == [(14, 14)] * 4
    assert backbone.pretrained_window_sizes == [(12, 12), (12, 12), (12, 12), (6, 6)]
    backbone.set_window_size(12)
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(backbone.eval()(image)[-1], model.backbone(image)[-1])
