"""The classifier of clips beside that of images."""

import pytest
import timm.models.swin_transformer_v2
import torch

import swinv2
from swinv2 import BackboneConfig
from swinv2.imaging.normalize import normalize
from video.classifier import VideoClassifier

DWARF = {"embed_dim": 16, "depths": [2, 2, 2], "num_heads": [1, 2, 4]}


@pytest.mark.parametrize("window", [[8, 8, 8], [2, 8, 8], [4, 4, 4], [3, 5, 7]])
@torch.no_grad()
def test_clip_of_repeated_frames_is_the_image(window):
    """Inflated from an image classifier, a clip of one repeated frame gives its logits, whatever the window in time."""
    backbone = swinv2.create_backbone("swinv2_tiny_window8_256", window_size=window[1:], out_indices=[2], **DWARF)
    image_model = swinv2.classifier.ImageClassifier(backbone, 5).eval()
    for parameter in image_model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model = VideoClassifier(BackboneConfig("swinv2_tiny_window8_256", window_size=window, **DWARF), 5).eval()
    report = swinv2.load_weights(model, image_model.state_dict())
    assert report.missing == () and report.unexpected == ()
    image = torch.rand(2, 3, 72, 56)
    wanted = image_model(normalize(image, torch.float32))
    found = model(image[:, :, None].expand(-1, -1, 12, -1, -1))
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("window", [[8, 4, 4], [2, 4, 4], [16, 4, 4]])
@pytest.mark.parametrize("wrapped", [False, True], ids=["timm", "official"])
@torch.no_grad()
def test_clip_of_repeated_frames_has_the_logits_of_timm(tmp_path, window, wrapped):
    """A checkpoint of timm's own model, or the same as the official release has it, gives timm's logits for a clip."""
    sizes = {"embed_dim": 16, "depths": (2, 2, 2), "num_heads": (1, 2, 4)}
    peer = timm.models.swin_transformer_v2.SwinTransformerV2(64, window_size=4, num_classes=5, **sizes).eval()
    for name, parameter in peer.named_parameters():
        if "logit_scale" not in name:
            torch.nn.init.normal_(parameter, std=0.3)
    path = tmp_path / "weights.pth"
    torch.save(peer.state_dict(), path)
    if wrapped:
        swinv2.convert(path, path, "official")
    model = VideoClassifier(BackboneConfig("swinv2_tiny_window8_256", window_size=window, **DWARF), 5).eval()
    swinv2.load_weights(model, path)
    model.backbone.set_pretrained_window_sizes([8, 4, 4])  # the official layout does not tell
    image = torch.rand(2, 3, 64, 64)
    wanted = peer(normalize(image, torch.float32))
    for frames in (1, 4, 9, 20, 36):
        found = model(image[:, :, None].expand(-1, -1, frames, -1, -1))
        assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_bytes_and_floats_are_the_same_clip():
    """A clip in uint8 and the same from 0 to 1 give the same logits."""
    model = VideoClassifier(BackboneConfig("swinv2_tiny_window8_256", **DWARF), 5).eval()
    clip = torch.randint(0, 256, (1, 3, 4, 32, 40), dtype=torch.uint8)
    torch.testing.assert_close(model(clip), model(clip / 255))


def test_window_changes_in_time_and_space():
    """Without new weights, at any time."""
    model = VideoClassifier(BackboneConfig("swinv2_tiny_window8_256", **DWARF), 5).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    clip = torch.rand(1, 3, 8, 64, 64)
    before = model(clip)
    model.backbone.set_window_size((2, 4, 4))
    assert not torch.allclose(model(clip), before)
    model.backbone.set_window_size((8, 8, 8))
    assert torch.equal(model(clip), before)


def test_number_of_classes_is_needed():
    """A model cannot be built without it."""
    with pytest.raises(ValueError, match="num_classes must be at least 1, got None"):
        VideoClassifier(BackboneConfig("swinv2_tiny_window8_256", **DWARF))
