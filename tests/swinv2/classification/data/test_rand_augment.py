"""RandAugment and its operations, beside timm's with Pillow."""

import math
from collections import Counter

import cv2
import numpy as np
import pytest
import timm.data.auto_augment as peer
import torch
from PIL import Image as Picture
from torchvision.tv_tensors import Image

from swinv2.classification.data.rand_augment import FILL, OPERATIONS, RandAugment

TABLES = ("AutoContrast", "Equalize", "Invert", "Posterize", "Solarize", "SolarizeAdd", "Contrast", "Brightness")
BLENDS = ("Color", "Sharpness")
MOVES = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
STRENGTHS = (-0.99, -0.9, -0.37, 0.0, 0.62, 0.9, 0.99)
HALVED = ("Posterize", "Solarize", "Color", "Contrast", "Brightness", "Sharpness")  # have an increasing kind


def their_name(name):
    """What timm calls an operation of the increasing kind."""
    return f"{name}Rel" if name.startswith("Translate") else f"{name}Increasing" if name in HALVED else name


def theirs(pixels, name, strength, monkeypatch):
    """The same by timm, with Pillow."""
    monkeypatch.setattr("random.random", lambda: 1.0 if strength < 0 else 0.0)  # timm negates above 0.5
    level = peer.LEVEL_TO_ARG[their_name(name)]
    arguments = level(10 * abs(strength), {}) if level else ()
    settings = {"resample": Picture.Resampling.BICUBIC, "fillcolor": FILL}
    return np.asarray(peer.NAME_TO_OP[their_name(name)](Picture.fromarray(pixels), *arguments, **settings))


def noise(height=40, width=56, low=0, high=256):
    """Pixels that differ in everything."""
    return np.random.default_rng(0).integers(low, high, (height, width, 3), dtype=np.uint8)


def smooth(height=80, width=96):
    """Pixels as in a photo: neighbours are similar."""
    return np.ascontiguousarray(cv2.GaussianBlur(noise(height, width), (0, 0), 4) // 2 * 4 - 130)


PICTURES = {
    "noise": noise(),
    "dark": noise(high=90),
    "pale": noise(low=180),
    "one colour": np.full((20, 30, 3), (7, 130, 255), np.uint8),
    "two levels": noise(high=2) * 200,
    "tiny": noise(2, 1),
    "smooth": smooth(),
}


def test_operations_are_those_of_timm():
    """The same fifteen operations as in timm's increasing list, in its order."""
    assert [their_name(name) for name in OPERATIONS] == peer._RAND_INCREASING_TRANSFORMS
    assert sorted(OPERATIONS) == sorted(TABLES + BLENDS + MOVES)


def test_fill_is_that_of_timm():
    """What comes in at the border is ImageNet's mean in whole levels."""
    assert FILL == (124, 116, 104)


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("name", TABLES)
def test_tables_give_the_values_of_pillow(name, strength, monkeypatch):
    """Operations on single values are the same in every pixel, whatever the picture."""
    for kind, pixels in PICTURES.items():
        wanted = theirs(pixels, name, strength, monkeypatch)
        changed = OPERATIONS[name](pixels, strength)
        off = changed.astype(int) - wanted
        least = 1 if name == "Contrast" else 0  # the mean grey may be rounded the other way
        assert np.abs(off).max() <= least, (kind, np.abs(off).max())


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("name", BLENDS)
def test_blends_differ_from_pillow_by_rounding(name, strength, monkeypatch):
    """Colours are rounded once here, twice in Pillow, where the second time cuts off."""
    for kind, pixels in PICTURES.items():
        if min(pixels.shape[:2]) > 2:
            off = OPERATIONS[name](pixels, strength).astype(int) - theirs(pixels, name, strength, monkeypatch)
            assert np.abs(off).max() <= 2, kind
            assert np.abs(off).mean() <= 1, kind


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("name", MOVES)
def test_moves_go_to_the_places_of_pillow(name, strength, monkeypatch):
    """Inside the picture the bicubic kernels differ little; what comes in from outside is the same but its outline."""
    pixels = smooth()
    changed, wanted = OPERATIONS[name](pixels, strength), theirs(pixels, name, strength, monkeypatch)
    off = np.abs(changed.astype(int) - wanted).max(-1)
    outside = cv2.dilate((wanted == FILL).all(-1).astype(np.uint8), np.ones((5, 5)))
    inside = cv2.erode(1 - outside, np.ones((3, 3)), borderValue=0)
    inside[:2], inside[-2:], inside[:, :2], inside[:, -2:] = 0, 0, 0, 0
    assert off[inside > 0].max() <= 4
    assert off[inside > 0].mean() < 1
    assert ((changed == FILL).all(-1) != (wanted == FILL).all(-1)).mean() < 0.05


def test_strongest_posterize_leaves_no_bit():
    """At the greatest magnitude none of the bits is kept, as in the official training; today's Pillow refuses that."""
    assert not OPERATIONS["Posterize"](noise(), 1.0).any()


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_operations_leave_their_input(name):
    """Pixels given to an operation are not changed; shape and type stay."""
    for pixels in PICTURES.values():
        before = pixels.copy()
        changed = OPERATIONS[name](pixels, 0.9)
        assert (changed.shape, changed.dtype) == (pixels.shape, np.uint8)
        assert np.array_equal(pixels, before)


def test_draws():
    """Each operation as often, half of the two draws done, either sign in half of them."""
    augment = RandAugment()
    drawn = [augment.make_params([])["operations"] for _ in range(6000)]
    numbers = Counter(len(one) for one in drawn)
    assert [numbers[count] / len(drawn) for count in range(3)] == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    names = Counter(name for one in drawn for name, _ in one)
    assert len(names) == 15
    assert all(abs(number - 400) < 80 for number in names.values())
    assert np.mean([strength > 0 for one in drawn for _, strength in one]) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("magnitude", "std"), [(9.0, 0.5), (10.0, 1.0), (0.5, 2.0), (7.0, 0.0)])
def test_magnitudes_are_distributed_as_timms(magnitude, std, monkeypatch):
    """Means, deviations and the shares at both ends are those of timm's operation, which tells its level here."""
    level = []
    operation = peer.AugmentOp("Rotate", prob=1.0, magnitude=magnitude, hparams={"magnitude_std": std})
    operation.level_fn = lambda value, _: (level.append(value / 10), ())[1]
    operation.aug_fn = lambda image, **_: image
    for _ in range(4000):
        operation(None)
    augment = RandAugment(magnitude, std)
    ours = np.abs([augment.strength() for _ in range(4000)])
    for figure in (np.mean, np.std, lambda one: np.mean(one == 1), lambda one: np.mean(one == 0)):
        assert figure(ours) == pytest.approx(figure(np.array(level)), abs=0.03)


def test_strengths_are_clipped():
    """No magnitude leaves the range from 0 to 10."""
    strengths = [abs(RandAugment(9.0, 50.0).strength()) for _ in range(200)]
    assert 0 <= min(strengths) <= max(strengths) == 1


def test_images_change(monkeypatch):
    """An image keeps its shape and type; targets beside it stay; operations are done one after the other."""
    image = Image(torch.from_numpy(noise()).permute(2, 0, 1))
    augment = RandAugment()
    monkeypatch.setattr(augment, "make_params", lambda _: {"operations": [("Invert", 0.9), ("Brightness", -0.9)]})
    changed, target = augment(image, {"label": torch.tensor(3)})
    wanted = OPERATIONS["Brightness"](255 - noise(), -0.9)
    assert isinstance(changed, Image)
    assert np.array_equal(changed.permute(1, 2, 0).numpy(), wanted)
    assert target == {"label": 3}


def test_same_seed_gives_the_same_image():
    """All that is random comes from torch's random numbers."""
    image = Image(torch.from_numpy(noise()).permute(2, 0, 1))
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append([RandAugment()(image).numpy() for _ in range(20)])
    assert all(np.array_equal(one, other) for one, other in zip(*results, strict=True))
    assert len({one.tobytes() for one in results[0]}) > 10


@pytest.mark.parametrize("setting", [(-1.0, 0.5, 2), (11.0, 0.5, 2), (9.0, -0.5, 2), (9.0, 0.5, 0), (math.nan, 0.5, 2)])
def test_settings_out_of_range(setting):
    """A magnitude beyond 0 to 10, a negative deviation or no operation is refused."""
    with pytest.raises(ValueError, match=r"RandAugment of magnitude .* from 0 to 10, .* e\.g\. 9, 0\.5 and 2"):
        RandAugment(*setting)
