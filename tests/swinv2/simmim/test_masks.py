"""Masks against the published definition."""

import math

import numpy as np
import pytest
import torch

from swinv2.simmim.masks import MaskGenerator


@pytest.mark.parametrize(
    ("size", "patch", "token", "ratio"),
    [((192, 192), 32, 4, 0.6), ((192, 128), 64, 4, 0.5), ((64, 96), 16, 8, 0.01), ((32, 32), 32, 4, 0.6)],
)
def test_mask_is_the_published_one(size, patch, token, ratio):
    """The first of the shuffled patches, their number rounded up, each as many tokens as it covers."""
    mask = MaskGenerator(patch, ratio, token)(size, torch.Generator().manual_seed(5))
    rows, columns = size[0] // patch, size[1] // patch
    order = torch.randperm(rows * columns, generator=torch.Generator().manual_seed(5)).tolist()
    hidden = {divmod(place, columns) for place in order[: int(np.ceil(rows * columns * ratio))]}
    expected = [
        [(y * token // patch, x * token // patch) in hidden for x in range(size[1] // token)]
        for y in range(size[0] // token)
    ]
    assert mask.tolist() == expected


def test_share_that_is_hidden():
    """Of 36 patches 22 are hidden at ratio 0.6: each equally often, independent of what was drawn before."""
    generate = MaskGenerator()
    patches = torch.stack([generate((192, 192))[::8, ::8] for _ in range(2000)]).float()
    assert set(patches.sum((1, 2)).tolist()) == {math.ceil(21.6)}
    assert (patches.mean(0) - 22 / 36).abs().max() < 0.05
    assert torch.corrcoef(patches[:-1].flatten(1).T)[0, 1:].abs().max() < 0.1


def test_torch_random_numbers_are_used():
    """The same seed gives the same masks."""
    masks = []
    for _ in range(2):
        torch.manual_seed(3)
        masks.append(torch.stack([MaskGenerator()((192, 192)) for _ in range(4)]))
    assert torch.equal(*masks)
    assert not torch.equal(masks[0][0], masks[0][1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 30}, r"4 pixels wide; got a mask_patch_size of 30, use e.g. 32"),
        ({"patch_size": 0}, "got a mask_patch_size of 0"),
        ({"ratio": 0.0}, r"above 0 and at most 1, got 0.0"),
        ({"ratio": 1.5}, r"above 0 and at most 1, got 1.5"),
    ],
)
def test_impossible_masks(options, message):
    """A patch that cuts tokens, and a share that is none, are refused."""
    with pytest.raises(ValueError, match=message):
        MaskGenerator(**options)


def test_image_without_whole_patches():
    """An image must be made of patches."""
    with pytest.raises(ValueError, match=r"An image of \(192, 200\) pixels has no whole number of patches of 32"):
        MaskGenerator()((192, 200))
