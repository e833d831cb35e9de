"""Changes of training images, and what is looked at of others."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as Picture
from torchvision import transforms as v1
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import Image

from swinv2.classification.data.transforms import eval_transform, train_transform


def photo(height=60, width=80):
    """An image whose neighbouring pixels are similar, with the channels innermost as after decoding."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image(torch.from_numpy(cv2.GaussianBlur(pixels, (0, 0), 1.5)).permute(2, 0, 1))


def release(size, crop):
    """Evaluation of the official release, with Pillow."""
    bicubic = InterpolationMode.BICUBIC
    if crop:
        return v1.Compose([v1.Resize(int(256 / 224 * size), bicubic), v1.CenterCrop(size)])
    return v1.Resize((size, size), bicubic)


@pytest.mark.parametrize("setting", [{}, {"rand_augment": (9.0, 0.5)}, {"color_jitter": 0.4}])
def test_training_images(setting):
    """They come out as squares of 8 bits, and many differ."""
    transform = train_transform(32, **setting)
    changed = [transform(photo()) for _ in range(30)]
    assert all((type(one), one.shape, one.dtype) == (Image, (3, 32, 32), torch.uint8) for one in changed)
    assert len({one.numpy().tobytes() for one in changed}) == 30


@pytest.mark.parametrize("flip_prob", [0.0, 1.0])
def test_whole_image_without_changes(flip_prob):
    """With the whole area an image is only resized as Pillow does it, within a level, and flipped where it must be."""
    changed = train_transform(24, scale_range=(1.0, 1.0), flip_prob=flip_prob)(photo(60, 60))
    wanted = F.to_image(F.to_pil_image(photo(60, 60)).resize((24, 24), Picture.Resampling.BICUBIC))
    assert (changed.int() - (wanted.flip(-1) if flip_prob else wanted).int()).abs().max() <= 1


def test_crops_cover_the_shares_asked_for(monkeypatch):
    """Areas are spread over the range of shares, proportions from 3:4 to 4:3."""
    crop = train_transform(32, scale_range=(0.2, 0.6)).transforms[0]
    drawn = [crop.make_params([photo(300, 300)]) for _ in range(1000)]
    shares = [one["height"] * one["width"] / 300**2 for one in drawn]
    assert min(shares) == pytest.approx(0.2, abs=0.02)
    assert max(shares) == pytest.approx(0.6, abs=0.02)
    assert np.mean(shares) == pytest.approx(0.4, abs=0.02)
    assert all(0.73 < one["height"] / one["width"] < 1.37 for one in drawn)


def test_order_is_that_of_the_official_training():
    """Cut, flip, RandAugment, then brightness, contrast and saturation; what is not asked for is not there."""
    names = [type(one).__name__ for one in train_transform(8, (0.08, 1.0), 0.5, (9.0, 0.5), 0.4).transforms]
    assert names == ["RandomResizedCrop", "RandomHorizontalFlip", "RandAugment", "ColorJitter"]
    assert len(train_transform(8).transforms) == 2


def test_same_seed_gives_the_same_training_image():
    """All that is random comes from torch's random numbers."""
    changed = []
    for _ in range(2):
        torch.manual_seed(5)
        changed.append(train_transform(16, rand_augment=(9.0, 0.5), color_jitter=0.4)(photo()))
    assert torch.equal(*changed)


@pytest.mark.parametrize("size", [16, 32, 100])
@pytest.mark.parametrize("shape", [(60, 80), (81, 60), (50, 50), (30, 300)])
@pytest.mark.parametrize("crop", [True, False])
def test_evaluation_is_that_of_the_release(size, shape, crop):
    """The same pixels are looked at as with Pillow in the release, within a level; also where images are enlarged."""
    image = photo(*shape)
    seen = eval_transform(size, crop)(image)
    assert (type(seen), seen.dtype) == (Image, torch.uint8)
    assert (seen.int() - F.to_image(release(size, crop)(F.to_pil_image(image))).int()).abs().max() <= 1


@pytest.mark.parametrize(("size", "short_edge"), [(224, 256), (256, 292), (384, 438)])
def test_short_edge_of_evaluation(size, short_edge):
    """The short edge is 256/224 of the size, cut off to whole pixels."""
    assert eval_transform(size).transforms[0].size == [short_edge]


def test_tiny_images_are_enlarged():
    """Images of few pixels go through training and evaluation."""
    for transform in (train_transform(16, rand_augment=(9.0, 0.5)), eval_transform(16), eval_transform(16, False)):
        assert transform(photo(1, 2)).shape == (3, 16, 16)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"size": 0}, r"size 0: give the height and width"),
        ({"scale_range": (0.0, 1.0)}, r"scale_range \(0\.0, 1\.0\): .* ascending, e\.g\. \[0\.08, 1\.0\]"),
        ({"scale_range": (0.9, 0.5)}, r"scale_range \(0\.9, 0\.5\)"),
        ({"flip_prob": -0.5}, r"flip_prob -0\.5: give a probability"),
        ({"rand_augment": (12.0, 0.5)}, r"RandAugment of magnitude 12\.0"),
        ({"color_jitter": 1.4}, r"color_jitter 1\.4: give a number from 0, for none, to 1, e\.g\. 0\.4"),
    ],
)
def test_settings_out_of_range(setting, message):
    """A setting that makes no sense is refused with what is allowed."""
    with pytest.raises(ValueError, match=message):
        train_transform(**{"size": 16} | setting)


def test_size_of_evaluation_out_of_range():
    """Evaluation needs a positive size."""
    with pytest.raises(ValueError, match=r"size -8: give the height and width in pixels"):
        eval_transform(-8)
