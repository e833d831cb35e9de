"""The middle of very long images."""

import pytest
import torch
from torchvision.tv_tensors import Image

from swinv2.classification.data.crop_elongated import CropElongated
from swinv2.classification.data.transforms import eval_transform


@pytest.mark.parametrize("size", [(20, 30), (3, 96), (1, 1)])
def test_images_stay(size):
    """Images up to 32 times as long as wide stay as they are."""
    image = Image(torch.randint(0, 256, (3, *size), dtype=torch.uint8))
    assert torch.equal(CropElongated()(image), image)


@pytest.mark.parametrize(("size", "cut"), [((1, 20_000), (1, 32)), ((5000, 2), (64, 2))])
def test_long_images_are_cut(size, cut):
    """Longer ones are cut to their middle, in either direction."""
    image = Image(torch.arange(size[0] * size[1]).view(1, *size).expand(3, *size).clone())
    found = CropElongated()(image)
    assert tuple(found.shape[1:]) == cut
    assert float(found.double().mean()) == pytest.approx(float(image.double().mean()), rel=1e-3)


def test_what_is_looked_at_is_the_same():
    """The square that is cut out after resizing is as without it."""
    image = Image(torch.randint(0, 256, (3, 10, 400), dtype=torch.uint8))
    found, wanted = (
        way(image).int() for way in (lambda one: eval_transform(32)(CropElongated()(one)), eval_transform(32))
    )
    assert (found - wanted).abs().max() <= 1
