"""Random changes of training images and labels."""

import colorsys

import numpy as np
import pytest
import torch
from torchvision.tv_tensors import Image, Mask

from segmentation.data.class_list import IGNORED
from segmentation.data.transforms import (
    MEAN_COLOUR,
    InputSize,
    PadToSquare,
    PhotometricDistortion,
    ScaledCrop,
    eval_transform,
    fitted,
    is_mixed,
    train_transform,
)

SETTINGS = {
    **{"short_edge": 48, "long_edge": 192, "scale_range": (0.5, 2.0), "crop_size": 48},
    **{"max_category_share": 0.75, "flip_prob": 0.5, "photometric": False},
}


def sample(height=48, width=64):
    """An image whose red channel is 60 times the label: stripes of four classes, and the left edge unknown."""
    labels = (torch.arange(width) * 4 // width).to(torch.int16).repeat(height, 1)
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[0] = labels * 60
    labels[:, 0] = IGNORED
    return Image(image), {"labels": Mask(labels), "image_id": 5, "name": "a"}


def plain(**settings):
    """The whole transform with some settings changed."""
    return train_transform(**SETTINGS | settings)


@pytest.mark.parametrize("scales", [(0.5, 2.0), (0.3, 0.9), (2.0, 3.0)], ids=["both", "smaller", "larger"])
@pytest.mark.parametrize("seed", range(4))
def test_image_and_labels_move_together(seed, scales):
    """Crops are squares of one size, in which the image shows what the labels say."""
    torch.manual_seed(seed)
    image, target = plain(scale_range=scales)(*sample())
    labels = target["labels"]
    assert isinstance(labels, Mask)
    assert labels.dtype == torch.int16
    assert image.dtype == torch.uint8
    assert image.shape[1:] == labels.shape == (48, 48)
    known = labels != IGNORED
    right = (image[0].int() - labels * 60).abs() < 30
    assert known.any()
    assert right[known].float().mean() > 0.9  # borders are mixed
    assert (target["image_id"], target["name"]) == (5, "a")


def test_same_seed():
    """The same random numbers give the same crop, others another one."""
    crops = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        crops.append(plain(photometric=True)(*sample()))
    assert torch.equal(crops[0][0], crops[1][0])
    assert torch.equal(crops[0][1]["labels"], crops[1][1]["labels"])
    assert not torch.equal(crops[0][0], crops[2][0])


def test_scales():
    """The short edge is the base times a scale from the whole range."""
    crop = ScaledCrop(40, 400, (0.5, 2.0), 1000, 1.0)
    edges = [min(crop(*sample(40, 60))[0].shape[1:]) for _ in range(60)]
    assert 20 <= min(edges) < 25
    assert 70 < max(edges) <= 80


def test_long_edge_limits_the_scale():
    """A long image is made smaller than its short edge asks for, by the scaled limit of the long one."""
    crop = ScaledCrop(40, 100, (2.0, 2.0), 1000, 1.0)
    assert crop(*sample(40, 400))[0].shape[1:] == (20, 200)


def test_crops_come_from_anywhere():
    """A crop begins at any column, and ends with the image at the latest; its labels are those of the image."""
    crop = ScaledCrop(20, 2000, (1.0, 1.0), 20, 1.0)
    columns = Mask(torch.arange(40, dtype=torch.int16).repeat(20, 1))
    crops = [crop({"labels": columns})["labels"] for _ in range(300)]
    assert {int(one[0, 0]) for one in crops} == set(range(21))
    assert all(one.shape == (20, 20) and int(one[0, -1] - one[0, 0]) == 19 for one in crops)


@pytest.mark.parametrize(("max_share", "least", "greatest"), [(1.0, 0.0, 0.3), (0.75, 0.7, 1.0)])
def test_no_class_fills_a_crop(max_share, least, greatest):
    """With the limit, most crops show the border between two classes; without it, few do."""
    labels = Mask((torch.arange(80) >= 40).to(torch.int16).repeat(20, 1))
    crop = ScaledCrop(20, 2000, (1.0, 1.0), 20, max_share)
    mixed = [is_mixed(crop({"labels": labels})["labels"], 0.75) for _ in range(100)]
    assert least <= np.mean(mixed) <= greatest


@pytest.mark.parametrize(
    ("row", "max_share", "expected"),
    [
        ([0, 0, 0, 1], 0.75, False),
        ([0, 0, 0, 1], 0.76, True),
        ([0, 1, IGNORED, IGNORED], 0.75, True),
        ([0, 0, 0, IGNORED], 0.9, False),
        ([IGNORED] * 4, 0.75, False),
    ],
    ids=["at the limit", "below it", "of known pixels", "one class", "nothing known"],
)
def test_mixed(row, max_share, expected):
    """Two classes are needed, none of them with the limit's share of what is known."""
    assert is_mixed(torch.tensor([row], dtype=torch.int16), max_share) is expected


def test_nothing_known():
    """Images without any label give crops without any."""
    image, target = sample()
    _, target = plain()(image, {"labels": Mask(torch.full_like(target["labels"], IGNORED))})
    assert (target["labels"] == IGNORED).all()


def test_small_images_are_padded():
    """What is missing is added on the right and at the bottom: mean colour, and labels to be ignored."""
    image, target = PadToSquare(80)(*sample(48, 64))
    before = sample(48, 64)
    labels = target["labels"]
    assert image.shape == (3, 80, 80)
    assert labels.dtype == torch.int16
    assert torch.equal(image[:, :48, :64], before[0])
    assert torch.equal(labels[:48, :64], before[1]["labels"])
    for part in (image[:, 48:], image[:, :, 64:]):
        assert part.flatten(1).unique(dim=1).flatten().tolist() == list(MEAN_COLOUR)
    assert (labels[48:] == IGNORED).all()
    assert (labels[:, 64:] == IGNORED).all()


def test_padding_keeps_its_colour():
    """The padding is the mean colour whatever is done to the colours of the image."""
    for _ in range(10):
        image, _ = plain(scale_range=(0.5, 0.5), photometric=True)(*sample())
        assert image[:, -1, -1].tolist() == list(MEAN_COLOUR)


def test_large_images_are_not_padded():
    """A crop in the size asked for stays."""
    image, _ = PadToSquare(40)(*sample())
    assert image.shape == (3, 48, 64)


def test_flip():
    """Image and labels are mirrored together."""
    whole = {"scale_range": (1.0, 1.0), "crop_size": 64, "max_category_share": 1.0}
    image, target = plain(flip_prob=1.0, **whole)(*sample())
    assert torch.equal(image[0, :48], sample()[0][0].flip(-1))
    assert torch.equal(target["labels"][:48], sample()[1]["labels"].flip(-1))


def distorted(colour, times=300):
    """Colours, 0 to 1, that come of one."""
    image = Image(torch.tensor(colour, dtype=torch.uint8)[:, None, None].expand(3, 2, 2))
    return [(PhotometricDistortion()(image)[:, 0, 0] / 255).tolist() for _ in range(times)]


def test_brightness_and_contrast():
    """Grey stays grey, within what 32 levels and a factor from 0.5 to 1.5 make of it; a quarter is not changed."""
    colours = distorted((100, 100, 100))
    assert all(red == green == blue for red, green, blue in colours)
    levels = [red * 255 for red, _, _ in colours]
    assert 34 <= min(levels) < 45
    assert 160 < max(levels) <= 198
    assert 0.15 < np.mean([round(level) == 100 for level in levels]) < 0.35


def test_hue():
    """A colour's hue turns by up to a tenth of the circle either way."""
    hues = [colorsys.rgb_to_hsv(*colour)[0] for colour in distorted((60, 150, 60)) if max(colour) < 1]
    turns = [hue - 1 / 3 for hue in hues]
    assert -0.11 < min(turns) < -0.08
    assert 0.08 < max(turns) < 0.11


def test_saturation():
    """A colour's saturation is multiplied by 0.5 to 1.5."""
    changed = [colorsys.rgb_to_hsv(*colour)[1] / 0.5 for colour in distorted((80, 160, 80)) if max(colour) < 1]
    assert min(changed) < 0.65
    assert max(changed) > 1.35


def test_labels_keep_their_values():
    """Distorted colours leave the labels alone."""
    _, target = PhotometricDistortion()(*sample())
    assert torch.equal(target["labels"], sample()[1]["labels"])


@pytest.mark.parametrize(
    ("short_edge", "size", "expected"),
    [(None, (30, 50), (30, 50)), (60, (30, 50), (60, 100)), (60, (30, 300), (12, 120)), (60, (90, 60), (90, 60))],
    ids=["size of the file", "short edge", "long edge", "as it is"],
)
def test_size_to_look_at(short_edge, size, expected):
    """Other images stay as they are; the size to look at them fits both edges."""
    image = Image(torch.zeros(3, *size, dtype=torch.uint8))
    given, target = eval_transform(short_edge, 120)(image, {"image_id": 1})
    assert given is image
    assert target == {"image_id": 1, "size": expected}


def test_size_of_mmsegmentation():
    """ADE20K's first validation image is looked at in the size that mmsegmentation resizes it to."""
    assert fitted(512, 683, 512, 2048) == (512, 683)
    assert fitted(364, 500, 512, 2048) == (512, 703)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"short_edge": 0}, "short_edge 0 with long_edge 192: give pixels"),
        ({"long_edge": 20}, "short_edge 48 with long_edge 20"),
        ({"scale_range": (2.0, 0.5)}, r"scale_range \(2\.0, 0\.5\): give \[least, greatest\]"),
        ({"scale_range": (0.0, 0.5)}, r"scale_range \(0\.0, 0\.5\)"),
        ({"crop_size": 0}, "crop_size 0: give the side"),
        ({"max_category_share": 0.0}, r"max_category_share 0\.0: give a share"),
        ({"max_category_share": 75.0}, r"max_category_share 75\.0"),
        ({"flip_prob": 1.5}, r"flip_prob 1\.5: give a probability"),
    ],
)
def test_bad_settings(settings, message):
    """A setting out of range is named, with an example."""
    with pytest.raises(ValueError, match=message):
        plain(**settings)


def test_bad_validation_edges():
    """So are the edges of validation."""
    with pytest.raises(ValueError, match="val_short_edge 512 with val_long_edge 400"):
        eval_transform(512, 400)
    assert eval_transform(None, 400) == InputSize(None, 400)
