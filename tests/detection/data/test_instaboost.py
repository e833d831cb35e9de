"""InstaBoost."""

import cv2
import numpy as np
import pytest
import torch
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat, Image, Mask

from detection.data.instaboost import InstaBoost, fill
from detection.data.origins import Origins
from detection.data.regions import cut_region, draw_regions, region_boxes

HEIGHT, WIDTH = 96, 128
GROUND = 60
BOXES = [(30, 20, 70, 60), (90, 40, 110, 80)]
STILL = {"prob": 1.0, "scale": (1.0, 1.0), "shift": 0.0, "angle": 0.0, "color_prob": 0.0}


def sample(boxes=BOXES, semantic=False):
    """An image of grey ground with one rectangle a box, the n-th in the n-th channel; labels count from 5."""
    masks = torch.zeros(len(boxes), HEIGHT, WIDTH, dtype=torch.bool)
    pixels = torch.full((HEIGHT, WIDTH, 3), GROUND, dtype=torch.uint8).permute(2, 0, 1)
    for index, (left, top, right, bottom) in enumerate(boxes):
        masks[index, top:bottom, left:right] = True
        pixels[index, top:bottom, left:right] = 255
    target = {
        "boxes": BoundingBoxes(
            torch.tensor(boxes).float().reshape(-1, 4), format=BoundingBoxFormat.XYXY, canvas_size=(HEIGHT, WIDTH)
        ),
        "labels": torch.arange(len(boxes)) + 5,
        "regions": [cut_region(mask) for mask in masks.numpy()],
        "origins": Origins.whole(HEIGHT, WIDTH),
        "image_id": 3,
    }
    if semantic:
        classes = torch.full((HEIGHT, WIDTH), 9, dtype=torch.uint8)
        for index, mask in enumerate(masks):
            classes[mask] = index
        target["semantic"] = Mask(classes)
    return Image(pixels), target


def masks_of(target):
    """The masks of the objects in a target, drawn."""
    return draw_regions(target["regions"], target["origins"])


def test_masks_follow_the_picture():
    """Each mask covers the pixels in which its object is drawn, and each box goes round its mask."""
    boost = InstaBoost(prob=1.0, color_prob=0.0)
    for _ in range(10):
        image, target = boost(*sample())
        assert target["labels"].tolist() == [5, 6]
        for channel, mask in enumerate(masks_of(target)):
            drawn = image[channel] > 110  # the border is soft
            assert (drawn & mask).sum() / (drawn | mask).sum() > 0.95
        assert torch.equal(
            target["boxes"].as_subclass(torch.Tensor), region_boxes(target["regions"], target["origins"])
        )
        assert target["boxes"].canvas_size == (HEIGHT, WIDTH)


def test_shift_is_within_its_share():
    """Objects move by up to the asked share of their width and height, to either side, and keep their size."""
    boost = InstaBoost(**STILL | {"shift": 0.25})
    moves = torch.stack([boost(*sample())[1]["boxes"] - torch.tensor(BOXES) for _ in range(60)])  # (60, 2, 4)
    assert (moves[..., :2] - moves[..., 2:]).abs().max() <= 1
    for part, length in ((moves[:, 0, 0], 40), (moves[:, 1, 0], 20), (moves[:, 1, 1], 40)):
        assert -0.25 * length - 1 <= part.min() < -0.15 * length
        assert 0.15 * length < part.max() <= 0.25 * length + 1


def test_scale_is_within_its_range():
    """Objects keep their middle and their proportions, and get between the least and the greatest scale."""
    boost = InstaBoost(**STILL | {"scale": (0.5, 1.5)})
    boxes = torch.stack([boost(*sample())[1]["boxes"][0] for _ in range(60)])
    assert (boxes[:, :2] + boxes[:, 2:] - torch.tensor([100, 80])).abs().max() <= 2
    sides = boxes[:, 2:] - boxes[:, :2]
    assert (sides[:, 0] - sides[:, 1]).abs().max() <= 1
    assert 19 <= sides.min() < 26
    assert 54 < sides.max() <= 61


def test_angle_turns():
    """A square that is turned has a wider box and the same area."""
    turned = [InstaBoost(**STILL | {"angle": 45.0})(*sample(BOXES[:1]))[1] for _ in range(10)]
    assert max(target["boxes"][0, 2] - target["boxes"][0, 0] for target in turned) > 48
    assert all(abs(int(masks_of(target).sum()) - 1600) < 60 for target in turned)


def test_objects_that_stay_leave_the_picture_as_it_is():
    """Cut out, filled and pasted at the same place, an object looks as before but for its border."""
    image, target = sample()
    same, kept = InstaBoost(**STILL)(image, target)
    assert torch.equal(masks_of(kept), masks_of(target))
    objects = masks_of(target).any(dim=0).byte().numpy()
    inside = torch.from_numpy(cv2.erode(objects, np.ones((5, 5), np.uint8))).bool()
    near = torch.from_numpy(cv2.dilate(objects, np.ones((11, 11), np.uint8))).bool()
    assert (same.int() - image.int())[:, inside].abs().max() <= 1
    assert torch.equal(same[:, ~near], image[:, ~near])


def test_hole_is_filled_from_around_it():
    """Nothing of an object is left where it was: the hole looks like the ground."""
    image, target = sample()
    filled = fill(image.permute(1, 2, 0).contiguous().numpy(), masks_of(target).any(dim=0).numpy())
    assert abs(filled.astype(int) - GROUND).max() < 10


def test_holes_of_large_images_are_filled():
    """An image that is filled at a reduced size looks the same where nothing was cut out."""
    pixels = torch.randint(0, 256, (500, 700, 3), dtype=torch.uint8).numpy()
    hole = torch.zeros(500, 700, dtype=torch.bool)
    hole[100:200, 300:500] = True
    filled = fill(pixels, hole.numpy())
    assert (filled[:90] == pixels[:90]).all()
    assert (filled[110:190, 310:490] != pixels[110:190, 310:490]).mean() > 0.9


def test_smaller_objects_occlude_larger_ones():
    """Where pasted objects overlap, the smaller one is seen, and the larger loses those pixels."""
    _, target = InstaBoost(**STILL)(*sample([(30, 30, 60, 60), (20, 20, 80, 80)]))
    small, large = masks_of(target)
    assert small.sum() == 30 * 30
    assert large.sum() == 60 * 60 - 30 * 30


def test_covered_objects_are_dropped():
    """An object of which nothing is seen any more goes, with its label."""
    _, target = InstaBoost(**STILL)(*sample([(30, 30, 60, 60), (30, 30, 60, 60)]))
    assert target["labels"].tolist() == [6]
    assert target["boxes"].tolist() == [[30, 30, 60, 60]]
    assert len(target["regions"]) == 1


@pytest.mark.parametrize("box", [(0, 20, 40, 60), (88, 20, 128, 60), (1, 40, 50, 95), (0, 10, 128, 50)])
def test_what_the_border_cuts_off_stays_cut_off(box):
    """An object that ends at the border of the image does so at its new place too."""
    edges = torch.tensor([0, 0, WIDTH, HEIGHT])
    touching = (torch.tensor(box) - edges).abs() <= 2
    for _ in range(20):
        _, target = InstaBoost(prob=1.0)(*sample([box]))
        assert (target["boxes"][0] - edges)[touching].abs().max() <= 3


def test_colors_change():
    """With a color probability of 1, every object gets another look; the ground keeps its own."""
    image, target = sample(BOXES[:1])
    changed, _ = InstaBoost(**STILL | {"color_prob": 1.0})(image, target)
    assert not torch.equal(changed[:, 40, 50], image[:, 40, 50])
    assert torch.equal(changed[:, :10], image[:, :10])


def test_semantic_map():
    """The map is void where an object was, has the object's class where it is now, and stays elsewhere."""
    image, before = sample(semantic=True)
    _, after = InstaBoost(prob=1.0)(image, before)
    classes, hole = after["semantic"], masks_of(before).any(dim=0)
    for index, mask in enumerate(masks_of(after)):
        assert (classes[mask] == index).all()
    now = masks_of(after).any(dim=0)
    assert (classes[hole & ~now] == 255).all()
    assert (classes[~hole & ~now] == 9).all()
    assert (hole & ~now).any()


def test_inputs_are_not_changed():
    """Image, masks and map that go in are as before."""
    image, target = sample(semantic=True)
    InstaBoost(prob=1.0)(image, target)
    fresh, expected = sample(semantic=True)
    assert torch.equal(image, fresh)
    assert all(torch.equal(target[name], expected[name]) for name in ("boxes", "origins", "semantic"))
    assert torch.equal(masks_of(target), masks_of(expected))


def test_reproducible():
    """The same state of torch's random numbers gives the same picture."""
    images = []
    for _ in range(2):
        torch.manual_seed(4)
        images.append(InstaBoost(prob=1.0)(*sample())[0])
    assert torch.equal(*images)


def test_probability():
    """About the asked share of the images is changed."""
    changed = [not torch.equal(InstaBoost(prob=0.25)(*sample())[0], sample()[0]) for _ in range(80)]
    assert 8 <= sum(changed) <= 32


def test_without_objects():
    """An image without objects stays as it is."""
    image, target = sample([])
    same, kept = InstaBoost(prob=1.0)(image, target)
    assert torch.equal(same, image)
    assert masks_of(kept).shape == (0, HEIGHT, WIDTH)


def test_empty_masks_are_dropped():
    """An object without a pixel in its mask cannot be cut out and goes."""
    image, target = sample()
    target["regions"][0] = cut_region(np.zeros((HEIGHT, WIDTH), bool))
    assert InstaBoost(prob=1.0)(image, target)[1]["labels"].tolist() == [6]


def test_extreme_shift_keeps_the_middle_in_the_image():
    """However far objects are to move, at least a part of them stays."""
    for _ in range(20):
        assert len(InstaBoost(**STILL | {"shift": 20.0})(*sample(BOXES[:1]))[1]["labels"]) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prob": 1.5}, "prob 1.5 and color_prob 0.5 must be 0 to 1"),
        ({"color_prob": -1.0}, "color_prob -1.0 must be 0 to 1"),
        ({"scale": (1.2, 0.8)}, "positive and ascending"),
        ({"shift": -0.1}, "shift -0.1 and angle 1.0 are the greatest"),
    ],
)
def test_bad_settings(settings, message):
    """Numbers out of range are errors that say what is allowed."""
    with pytest.raises(ValueError, match=message):
        InstaBoost(**settings)
