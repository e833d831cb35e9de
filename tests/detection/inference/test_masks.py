"""Masks of whole images from probabilities within boxes."""

import pytest
import torch
from pycocotools import mask as mask_utils
from torch.nn import functional as F

from detection.inference.masks import encode_masks, paste_masks


def grid_sampled(masks, boxes, height, width):
    """The same by sampling every mask at every pixel centre of the image, without a threshold."""
    rows, columns = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    x = (columns - boxes[:, :1]) / (boxes[:, 2:3] - boxes[:, :1]) * 2 - 1
    y = (rows - boxes[:, 1:2]) / (boxes[:, 3:] - boxes[:, 1:2]) * 2 - 1
    grid = torch.stack([x[:, None, :].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)], dim=-1)
    return F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]


def some_objects(count=40, height=60, width=90):
    """Smooth random masks in boxes of many sizes, some beyond the border."""
    masks = F.interpolate(torch.rand(count, 1, 5, 5), (28, 28), mode="bilinear")[:, 0]
    masks = ((masks - 0.5) * 4 + 0.5).clamp(0, 1)
    start = torch.rand(count, 2) * torch.tensor([width, height]) - 10
    return masks, torch.cat([start, start + 0.5 + torch.rand(count, 2) * 70], dim=1)


def test_equal_to_sampling_the_whole_image():
    """Pasting only what a box covers gives the same as sampling the mask everywhere."""
    masks, boxes = some_objects()
    values = grid_sampled(masks, boxes, 60, 90)
    pasted = paste_masks(masks, boxes, (60, 90))
    assert torch.equal(pasted | ((values - 0.5).abs() < 1e-4), (values >= 0.5) | ((values - 0.5).abs() < 1e-4))
    assert 0.02 < pasted.float().mean() < 0.9


def test_full_mask_fills_its_box():
    """A mask of ones is exactly its box."""
    pasted = paste_masks(torch.ones(1, 28, 28), torch.tensor([[3.0, 2.0, 31.0, 9.0]]), (12, 40))
    expected = torch.zeros(1, 12, 40, dtype=torch.bool)
    expected[:, 2:9, 3:31] = True
    assert torch.equal(pasted, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    """Masks and boxes may come in half precision."""
    assert paste_masks(torch.ones(1, 28, 28, dtype=dtype), torch.tensor([[0, 0, 8, 4]], dtype=dtype), (4, 8)).all()


@pytest.mark.parametrize("box", [[-20, -20, -5, -5], [50, 50, 60, 60], [5, 5, 5, 9], [9, 9, 5, 5]])
def test_nothing_to_see(box):
    """Boxes outside the image, without area or inside out give empty masks."""
    masks, boxes = torch.ones(1, 28, 28), torch.tensor([box]).float()
    assert not paste_masks(masks, boxes, (20, 30)).any()
    assert mask_utils.area(encode_masks(masks, boxes, (20, 30))[0]) == 0


def test_encoding_equals_pycocotools():
    """The run lengths are those of the whole mask, letter for letter, and text as JSON needs it."""
    masks, boxes = some_objects()
    boxes[0] = torch.tensor([-5.0, -5.0, 95.0, 65.0])
    masks[0] = 1  # the whole image
    boxes[1] = torch.tensor([20.0, -5.0, 40.0, 65.0])
    masks[1] = 1  # whole columns, so that runs go on from one column to the next
    whole = paste_masks(masks, boxes, (60, 90)).numpy()
    expected = [mask_utils.encode(mask.astype("uint8", order="F")) for mask in whole]
    found = encode_masks(masks, boxes, (60, 90))
    assert [one["counts"] for one in found] == [one["counts"].decode() for one in expected]
    assert all(one["size"] == [60, 90] for one in found)


def test_no_objects():
    """No masks in, no masks out."""
    assert paste_masks(torch.zeros(0, 28, 28), torch.zeros(0, 4), (4, 5)).shape == (0, 4, 5)
    assert encode_masks(torch.zeros(0, 28, 28), torch.zeros(0, 4), (4, 5)) == []
