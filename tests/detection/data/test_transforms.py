"""Joint transforms of image, boxes and masks."""

import pytest
import torch
from torchvision.ops import masks_to_boxes
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat, Image, Mask

from detection.data.origins import Origins
from detection.data.regions import cut_region, draw_regions
from detection.data.transforms import (
    RandomCrop,
    RandomShortEdge,
    ScaleJitter,
    eval_transform,
    fit_boxes,
    keep_visible,
    resize,
    train_transform,
)

BOXES = [[8, 4, 32, 24], [40, 12, 56, 40]]


def sample(height=48, width=64, masks=True):
    """An image whose red channel shows the first object and whose green channel the second, as its semantic map."""
    regions = torch.zeros(len(BOXES), height, width, dtype=torch.bool)
    for region, (left, top, right, bottom) in zip(regions, BOXES, strict=True):
        region[top:bottom, left:right] = True
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[:2] = regions.byte() * 255
    classes = torch.full((height, width), 255, dtype=torch.uint8)
    for label, region in enumerate(regions):
        classes[region] = label
    target = {
        "boxes": BoundingBoxes(torch.tensor(BOXES).float(), format=BoundingBoxFormat.XYXY, canvas_size=(height, width)),
        "labels": torch.tensor([0, 1]),
        "image_id": 5,
        "orig_size": (height, width),
        "semantic": Mask(classes),
    }
    return Image(image), with_masks(target, regions) if masks else target


def with_masks(target, masks):
    """A target whose objects have some masks."""
    return target | {
        "regions": [cut_region(mask) for mask in masks.numpy()],
        "origins": Origins.whole(*masks.shape[1:]),
    }


def masks_of(target):
    """The masks of the objects in a target, drawn."""
    return draw_regions(target["regions"], target["origins"])


def mask_boxes(masks):
    """Left, top, right and bottom edge of masks that are not empty."""
    return masks_to_boxes(masks) + torch.tensor([0, 0, 1, 1])


TRANSFORMS = {
    "multi-scale": lambda: train_transform((60, 96), 200),
    "crop": lambda: train_transform((300, 500), 800, random_crop=True),
    "jitter": lambda: train_transform(96, 200, scale_jitter=(0.5, 2.0), crop_size=64),
    "wide jitter": lambda: train_transform(96, 200, scale_jitter=(0.1, 2.0), crop_size=256),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("seed", range(5))
def test_image_boxes_and_masks_move_together(name, seed):
    """Each mask covers the pixels in which its object is drawn, and each box ends where its mask does."""
    torch.manual_seed(seed)
    image, target = TRANSFORMS[name]()(*sample())
    assert len(target["labels"]) == len(target["boxes"]) == len(target["regions"])
    assert target["boxes"].canvas_size == image.shape[1:]
    for label, mask, box in zip(target["labels"], masks_of(target), target["boxes"], strict=True):
        drawn = image[label] > 127
        assert (drawn & mask).sum() / (drawn | mask).sum() > 0.9
        assert (mask_boxes(mask[None])[0] - box).abs().max() <= 1


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("seed", range(5))
def test_semantic_map_moves_with_the_masks(name, seed):
    """The map has the size of the image, and in each mask the class of the object."""
    torch.manual_seed(seed)
    image, target = TRANSFORMS[name]()(*sample())
    assert target["semantic"].shape == image.shape[1:]
    assert target["semantic"].dtype == torch.uint8
    for label, mask in zip(target["labels"], masks_of(target), strict=True):
        assert torch.equal(target["semantic"] == label, mask)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_without_masks(name):
    """Box-only targets go through the same transforms."""
    torch.manual_seed(0)
    image, target = TRANSFORMS[name]()(*sample(masks=False))
    height, width = image.shape[1:]
    assert "regions" not in target
    assert target["boxes"].max(dim=0).values.le(torch.tensor([width, height] * 2) + 1e-3).all()


@pytest.mark.parametrize("name", TRANSFORMS)
def test_without_objects(name):
    """An image without objects keeps empty boxes, labels and masks."""
    image, target = sample()
    target |= {"boxes": BoundingBoxes(torch.zeros(0, 4), format=BoundingBoxFormat.XYXY, canvas_size=(48, 64))}
    target |= {"labels": target["labels"][:0], "regions": []}
    image, target = TRANSFORMS[name]()(image, target)
    assert target["boxes"].shape == (0, 4)
    assert masks_of(target).shape == (0, *image.shape[1:])


def test_other_keys_stay():
    """Ids and sizes are none of the transforms' business."""
    _, target = train_transform((60, 96), 200)(*sample())
    assert target["image_id"] == 5
    assert target["orig_size"] == (48, 64)


def test_flip():
    """Image, boxes and masks are mirrored together."""
    image, target = train_transform(48, 64, flip_prob=1.0)(*sample())
    assert target["boxes"].tolist() == [[32, 4, 56, 24], [8, 12, 24, 40]]
    assert torch.equal(image[0] > 0, masks_of(target)[0])


def test_short_edges_are_drawn_from_the_whole_range():
    """Every whole number from the least to the greatest short edge comes up, and none besides."""
    transform = train_transform((60, 63), 200)
    assert {min(transform(*sample())[0].shape[1:]) for _ in range(60)} == {60, 61, 62, 63}


@pytest.mark.parametrize(("size", "expected"), [((48, 64), (75, 100)), ((40, 100), (40, 100)), ((10, 1000), (4, 100))])
def test_long_edge_is_limited(size, expected):
    """A long edge at its limit keeps the short one below its aim, but never below a patch."""
    assert eval_transform(80, 100)(Image(torch.zeros(3, *size)), {})[0].shape[1:] == expected


def test_masks_are_resized_about_pixel_centres():
    """Enlarged and reduced masks lie where the image and the boxes do, without a shift by half a pixel."""
    mask = Mask(torch.zeros(1, 9, 9, dtype=torch.bool))
    mask[:, 3:6, 3:6] = True
    assert mask_boxes(resize(mask, (27, 27))).tolist() == [[9, 9, 18, 18]]
    assert mask_boxes(resize(mask, (3, 3))).tolist() == [[1, 1, 2, 2]]


def test_scale_jitter_range():
    """The long edge is between the least and the greatest scale times the side, before it is cut."""
    jitter = ScaleJitter(100, (0.5, 1.5))
    scales = []
    for _ in range(60):
        _, target = jitter(*sample())
        rows = masks_of(target).any(dim=2).sum(dim=1)  # of 20 and 28 before
        scales.append(max(rows[0] / 20, rows[1] / 28) * 64 / 100)
    assert 0.47 <= min(scales) < 0.7
    assert 1.3 < max(scales) <= 1.55


def test_scale_jitter_cuts_anywhere():
    """The part that is cut out begins at any pixel, and ends with the image at the latest."""
    jitter = ScaleJitter(24, (2.0, 2.0))  # 48 pixels for 64: the parts are 24 by 32 of the 48 by 64 pixels
    column = torch.arange(64, dtype=torch.uint8).repeat(48, 1)
    parts = [jitter({"semantic": Mask(column)})["semantic"][0] for _ in range(400)]
    assert {int(part[0]) for part in parts} == set(range(33))
    assert {int(part[-1] - part[0]) for part in parts} == {31}


def test_scale_jitter_cuts_before_resizing():
    """What is given out is what resizing the whole image and then cutting gives, to a grey value and half a pixel."""
    row = torch.linspace(0, 250, 64).expand(3, 48, 64).round().byte()
    image = Image(row)
    whole = resize(image, (96, 128))
    cut = ScaleJitter(64, (2.0, 2.0))(image)
    assert cut.shape[1:] == (64, 64)
    nearest = (whole[0, 0].int()[:, None] - cut[0, 0].int()).abs().min(dim=0).values
    assert nearest.max() <= 1
    assert int(cut[0, 0, -1]) - int(cut[0, 0, 0]) in range(118, 128)  # half of the image's 250


def test_tiny_leftovers_are_dropped():
    """Objects that a tenth of the scale leaves no whole pixel are dropped with their labels."""
    image, target = sample()
    target["boxes"][0] = torch.tensor([8.0, 4, 12, 8])
    masks = masks_of(target)
    masks[0] = False
    masks[0, 4:8, 8:12] = True
    target = with_masks(target, masks)
    transform, counts = train_transform(96, 200, scale_jitter=(0.1, 1.0), crop_size=64), set()
    for _ in range(40):
        _, kept = transform(image, target)
        counts.add(len(kept["labels"]))
        sides = kept["boxes"][:, 2:] - kept["boxes"][:, :2]
        assert (sides >= 1).all()
        assert len(kept["labels"]) == len(kept["regions"]) == len(sides)
        assert masks_of(kept).flatten(1).any(dim=1).all()
    assert {1, 2} <= counts


def test_jittered_images_are_cropped_not_padded():
    """Large images are cut to the crop size, small ones keep their own."""
    transform = train_transform(48, 64, scale_jitter=(0.5, 2.0), crop_size=64)
    sizes = {tuple(transform(*sample())[0].shape[1:]) for _ in range(40)}
    assert max(max(size) for size in sizes) == 64
    assert min(min(size) for size in sizes) < 40


def test_crop_sides():
    """The sides of a crop are drawn from the range, and a shorter image side stays whole."""
    crop = RandomCrop(40, 50)
    sizes = [crop(*sample())[0].shape[1:] for _ in range(40)]
    assert {height for height, _ in sizes} == set(range(40, 49))
    assert {width for _, width in sizes} == set(range(40, 51))


def test_random_crop_for_half_of_the_images():
    """Half of the images show a part only, which then is enlarged."""
    transform = train_transform(100, 600, flip_prob=0.0, random_crop=True)
    image, target = sample()
    image, target = RandomShortEdge([700])(image, target)
    whole = [transform(image, target)[0].shape[1:] == (100, 133) for _ in range(40)]
    assert 8 < sum(whole) < 32


def test_boxes_shrink_to_what_a_crop_left():
    """After a crop, a box goes round what is seen of its mask; without masks it ends at the border."""
    image, target = sample()
    masks = masks_of(target)
    masks[0, :, 20:] = False
    target = with_masks(target, masks)
    assert fit_boxes(image, target)[1]["boxes"].tolist() == [[8, 4, 20, 24], BOXES[1]]
    image, target = sample(masks=False)
    assert fit_boxes(image, target)[1]["boxes"].tolist() == BOXES


def test_invisible_objects_are_dropped():
    """An object with an empty mask or a side below one pixel goes, with its label."""
    image, target = sample()
    target["regions"][0] = cut_region(torch.zeros(48, 64, dtype=torch.bool).numpy())
    kept = keep_visible(image, target)[1]
    assert kept["labels"].tolist() == [1]
    assert isinstance(kept["boxes"], BoundingBoxes)
    image, target = sample()
    target["boxes"][1, 2] = target["boxes"][1, 0] + 0.5
    assert keep_visible(image, target)[1]["labels"].tolist() == [0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"short_edge": (800, 480), "long_edge": 1333}, "ascending"),
        ({"short_edge": 0, "long_edge": 1333}, "positive"),
        ({"short_edge": 800, "long_edge": 600}, "not above long_edge"),
        ({"short_edge": 8, "long_edge": 9, "scale_jitter": (0.1, 2.0)}, "needs crop_size"),
        ({"short_edge": 8, "long_edge": 9, "crop_size": 64}, "needs crop_size and the other way round"),
        ({"short_edge": 8, "long_edge": 9, "crop_size": 64, "scale_jitter": (2.0, 0.1)}, "positive and ascending"),
        ({"short_edge": 8, "long_edge": 9, "crop_size": 64, "scale_jitter": (1.0, 2.0), "random_crop": True}, "one of"),
        ({"short_edge": 8, "long_edge": 9, "crop_size": 64, "scale_jitter": (0.1, 0.9)}, "smaller than the crop of 64"),
    ],
)
def test_bad_settings(settings, message):
    """Settings that cannot be meant are errors that say what is allowed."""
    with pytest.raises(ValueError, match=message):
        train_transform(**settings)


def test_bad_evaluation_settings():
    """A short edge above the long edge is an error in evaluation too."""
    with pytest.raises(ValueError, match="not above long_edge"):
        eval_transform(800, 600)


def test_scale_jitter_has_no_use_for_edges():
    """Edges that do not fit each other do no harm where they are not used."""
    image, _ = train_transform((480, 800), 64, scale_jitter=(0.5, 2.0), crop_size=32)(*sample())
    assert max(image.shape[-2:]) <= 32


def test_masks_on_a_gpu_are_resized_there(gpu):
    """As on the CPU, without a wait."""
    masks = torch.arange(12, dtype=torch.uint8).view(1, 3, 4)
    found = resize(Mask(masks).to("cuda", non_blocking=True), (5, 3))
    assert not gpu.waits and not gpu.copies
    assert torch.equal(found.cpu().as_subclass(torch.Tensor), resize(Mask(masks), (5, 3)).as_subclass(torch.Tensor))
