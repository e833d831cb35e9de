"""Image weights in a video model: a clip of one repeated frame is the image."""

import itertools

import pytest
import torch

from swinv2 import convert, create_backbone, load_weights
from swinv2.classifier import ImageClassifier
from swinv2.weights.conversion import WRITABLE

NAME = "swinv2_tiny_window8_256"
DWARF = {"embed_dim": 16, "depths": [2, 2, 2, 1], "num_heads": [1, 2, 4, 4]}
WINDOWS = [(t, s, s) for t, s in itertools.product((2, 4, 8, 16), (7, 8, 12))]
FRAMES = [2, 8, 38]  # one token, fewer than most windows have, more than all


def randomised(model):
    """No weight is left at zero or one."""
    for name, parameter in model.named_parameters():
        if "logit_scale" not in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def image_and_clip_models(window):
    """A backbone with random weights, and that of clips inflated from it, with a window of three axes."""
    still = randomised(create_backbone(NAME, window_size=window[1:], **DWARF))
    moving = create_backbone(NAME, video=True, window_size=window, **DWARF).eval()
    report = load_weights(moving, still.state_dict())
    assert report.missing == () and report.unexpected == ()
    return still, moving


def check_equal(still, moving, frames):
    """Features of all levels agree, in every frame, relative to the largest of the level."""
    image = torch.randn(2, 3, 68, 57)
    clip = image[:, :, None].expand(-1, -1, frames, -1, -1)
    for found, wanted in zip(moving(clip), still(image), strict=True):
        assert found.shape[2] == frames // 2
        assert (found - wanted[:, :, None]).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("frames", FRAMES)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
@torch.no_grad()
def test_features_of_a_repeated_frame_are_those_of_the_image(window, frames):
    """Whatever the window, in clips shorter and longer than it, in each level."""
    check_equal(*image_and_clip_models(window), frames)


@pytest.mark.parametrize("frames", FRAMES)
@pytest.mark.parametrize("window", [(16, 12, 12), (2, 7, 7), (3, 5, 9)], ids=str)
@torch.no_grad()
def test_a_changed_window_is_that_of_the_image_model_changed(window, frames):
    """After a change of the window in time and space, in both models, and back."""
    still, moving = image_and_clip_models((8, 8, 8))
    still.set_window_size(window[1:])
    moving.set_window_size(window)
    check_equal(still, moving, frames)
    still.set_window_size(8)
    moving.set_window_size(8)
    check_equal(still, moving, frames)


@pytest.mark.parametrize("layout", WRITABLE)
@torch.no_grad()
def test_checkpoints_of_any_layout_are_inflated(tmp_path, layout):
    """A classifier's file, in the layout of any project, makes clips of a frame the image too."""
    classifier = randomised(ImageClassifier(create_backbone(NAME, out_indices=[3], **DWARF), 5))
    convert(classifier.state_dict(), tmp_path / "weights.pth", layout)
    still, moving = (create_backbone(NAME, video=video, **DWARF).eval() for video in (False, True))
    for backbone in (still, moving):
        load_weights(backbone, tmp_path / "weights.pth")
    assert torch.equal(moving.norm3.weight, classifier.backbone.norm3.weight)
    assert moving.pretrained_window_sizes == [(8, *window) for window in still.pretrained_window_sizes]
    check_equal(still, moving, frames=20)
