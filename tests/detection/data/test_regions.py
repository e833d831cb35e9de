"""Regions of objects, and drawing them after transforms."""

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_utils
from torchvision.ops import masks_to_boxes
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import Mask

from detection.data.origins import Origins
from detection.data.regions import cut_region, draw_regions, find_region, region_boxes
from swinv2.imaging.resize import resize

RNG = np.random.default_rng(0)
FORMS = {
    "inside": lambda size: RNG.uniform(0.3, 0.6, (5, 2)) * size,
    "beyond": lambda size: RNG.uniform(-0.4, 1.4, (5, 2)) * size,
    "far": lambda size: RNG.uniform(-5, 6, (4, 2)) * size,
    "tenths": lambda size: np.round(RNG.uniform(0, 1, (6, 2)) * size, 1),
    "whole": lambda size: RNG.integers(-3, max(size) + 3, (4, 2)).astype(float),
}


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
@pytest.mark.parametrize("form", FORMS)
def test_polygons_are_those_of_pycocotools(form):
    """A region drawn into its image is what pycocotools draws, to the pixel, for one polygon or two."""
    for count in (1, 2) * 25:
        height, width = RNG.integers(1, 120, 2).tolist()
        polygons = [FORMS[form](np.array([width, height])).ravel().tolist() for _ in range(count)]
        expected = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(polygons, height, width)))
        drawn = draw_regions([find_region(polygons, height, width)], Origins.whole(height, width))[0]
        assert (drawn.numpy() == expected).all()


def test_run_lengths_are_those_of_pycocotools():
    """Plain and compressed run lengths, also of empty and full masks, give the mask that they were made of."""
    for share in (0.0, 0.1, 0.5, 1.0):
        mask = (RNG.random((30, 40)) < share).astype(np.uint8)
        compressed = mask_utils.encode(np.asfortranarray(mask))
        changes = np.flatnonzero(np.diff(mask.flatten(order="F"), prepend=0, append=0))
        plain = np.diff([0, *changes, mask.size]).tolist() if share else [mask.size]
        for counts in (compressed["counts"].decode(), plain):
            region = find_region({"size": [30, 40], "counts": counts}, 30, 40)
            assert (draw_regions([region], Origins.whole(30, 40))[0].numpy() == mask).all()


def test_regions_are_small():
    """A region takes the memory of the object, not of the image."""
    region = find_region([[500, 300, 520, 300, 520, 330, 500, 330]], 1000, 1500)
    assert (region.top, region.left, region.pixels.shape) == (300, 500, (30, 20))


CHANGES = {
    "flip": F.horizontal_flip,
    "crop": lambda part: F.crop(part, 3, 5, 20, 17),
    "enlarge": lambda part: resize(part, (71, 83)),
    "reduce": lambda part: resize(part, (13, 11)),
    "turn": lambda part: F.rotate(part, 33.0),
    "beyond": lambda part: F.crop(part, -2, -3, 50, 60),
    "pad": lambda part: F.pad(part, [3, 1, 0, 5]),
    "turn over": F.vertical_flip,
}


@pytest.mark.parametrize("first", CHANGES)
@pytest.mark.parametrize("second", CHANGES)
def test_drawn_after_transforms_as_masks_transformed(first, second):
    """Masks drawn last are those drawn first and transformed, and the boxes are those of the masks."""
    masks = torch.rand(4, 30, 40) > 0.6
    masks[:, 20:] = masks[3] = False
    regions = [cut_region(mask) for mask in masks.numpy()]
    origins, expected = (CHANGES[second](CHANGES[first](one)) for one in (Origins.whole(30, 40), Mask(masks)))
    assert torch.equal(draw_regions(regions, origins), expected)
    boxes, seen = region_boxes(regions, origins), expected.flatten(1).any(1)
    assert torch.equal(boxes[seen], masks_to_boxes(expected[seen]) + torch.tensor([0, 0, 1, 1]))
    assert not boxes[~seen].any()
