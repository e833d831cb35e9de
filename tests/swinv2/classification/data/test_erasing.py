"""Random erasing of normalised batches."""

import math

import pytest
import torch

from swinv2.classification.data.erasing import Erasing


def rectangles(images):
    """Height, width and values of what was erased in each image of ones, None where nothing was."""
    found = []
    for image in images:
        rows, columns = ((image != 1).any(0).any(dim).nonzero() for dim in (1, 0))
        if not len(rows):
            found.append(None)
            continue
        part = image[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (part != 1).all()
        found.append((part.shape[1], part.shape[2], part))
    return found


def test_a_quarter_of_the_images_is_erased():
    """Each image is drawn for by itself, with the probability given."""
    erased = [one is not None for one in rectangles(Erasing(0.25)(torch.ones(2000, 3, 16, 16)))]
    assert sum(erased) / len(erased) == pytest.approx(0.25, abs=0.04)


def test_areas_and_proportions():
    """Areas are spread from 0.02 to 1/3 of the image, logarithms of proportions between those of 0.3 and 1 / 0.3."""
    found = rectangles(Erasing(1.0)(torch.ones(600, 3, 100, 100)))
    areas = torch.tensor([height * width / 10000 for height, width, _ in found])
    aspects = torch.tensor([math.log(height / width) for height, width, _ in found])
    assert areas.min() >= 0.018
    assert areas.max() <= 0.34
    assert areas.mean().item() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.02)
    assert aspects.mean().item() == pytest.approx(0, abs=0.12)
    assert aspects.abs().max() <= math.log(1 / 0.3) + 0.1
    assert aspects.abs().max() > 1


def test_noise_is_normal_in_each_pixel():
    """What comes in has mean 0 and deviation 1 in all channels, and no two pixels are alike."""
    values = torch.cat([part.flatten(1) for *_, part in rectangles(Erasing(1.0)(torch.ones(20, 3, 64, 64)))], dim=1)
    assert torch.allclose(values.mean(1), torch.zeros(3), atol=0.05)
    assert torch.allclose(values.std(1), torch.ones(3), atol=0.05)
    assert len(values.unique()) > 0.99 * values.numel()


def test_images_given_are_not_changed():
    """Erasing leaves the batch that it was given as it is, and keeps its type."""
    images = torch.ones(4, 3, 16, 16, dtype=torch.bfloat16)
    changed = Erasing(1.0)(images)
    assert (changed.shape, changed.dtype) == (images.shape, images.dtype)
    assert (images == 1).all()


def test_same_seed_gives_the_same_rectangles():
    """All that is random comes from torch's random numbers."""
    changed = []
    for _ in range(2):
        torch.manual_seed(5)
        changed.append(Erasing(0.5)(torch.ones(8, 3, 16, 16)))
    assert torch.equal(*changed)


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.5])
def test_probability_out_of_range(probability):
    """What is no probability above 0 is refused."""
    with pytest.raises(ValueError, match=rf"erasing {probability}: give a probability from 0, for none, to 1"):
        Erasing(probability)


def test_nothing_waits_for_a_gpu(gpu):
    """Neither rectangles nor noise are copied."""
    images = torch.ones(8, 3, 16, 16, device="cuda")
    assert Erasing(1.0)(images).device == images.device
    assert not gpu.waits and not gpu.copies
