"""Mixup and CutMix of clips."""

import pytest
import torch

from video.mixing import Mixing

LABELS = torch.tensor([2, 0, 1])


def clips(frames=2, size=8):
    """Three clips, each of its own grey."""
    return torch.tensor([0, 100, 200], dtype=torch.uint8)[:, None, None, None, None].repeat(1, 3, frames, size, size)


def mixed(**alphas):
    """Fifty mixtures of the three clips."""
    mixing = Mixing(4, **alphas)
    return [mixing(clips(), LABELS) for _ in range(50)]


def test_shapes_and_shares():
    """Clips keep their shape, from 0 to 1; the shares of a clip's classes sum up to 1."""
    for images, shares in mixed():
        assert (type(images), images.shape, images.dtype) == (torch.Tensor, (3, 3, 2, 8, 8), torch.float32)
        assert 0 <= images.min() <= images.max() <= 1
        assert torch.allclose(shares.sum(1), torch.ones(3))
        assert (shares[:, 3] == 0).all()


def test_mixup_blends_each_clip_with_the_one_before():
    """Grey and shares follow the same weights, all pixels alike."""
    grey = torch.tensor([0.0, 100.0, 200.0]) / 255
    for images, shares in mixed(cutmix_alpha=0.0):
        own = shares[range(3), LABELS]
        wanted = own * grey + (1 - own) * grey.roll(1)
        assert torch.allclose(images, wanted[:, None, None, None, None].expand_as(images), atol=1e-6)


def test_cutmix_puts_a_rectangle_into_all_frames():
    """A clip shows itself and the one before, in the same pixels of all frames; shares are areas."""
    inner = 0
    for images, shares in mixed(mixup_alpha=0.0):
        own = (images * 255).round() == clips()
        assert torch.equal(own, own[:1, :1, :1].expand_as(own))
        share = own[0, 0, 0].float().mean()
        assert torch.allclose(shares[range(3), LABELS], share)
        inner += bool(0 < share < 1)
    assert inner > 25


def test_both_kinds_are_drawn():
    """With both parameters about half of the batches are blended, the others cut."""
    blended = [not set((images * 255).unique().round().int().tolist()) <= {0, 100, 200} for images, _ in mixed()]
    assert 15 < sum(blended) < 35


def test_same_seed_gives_the_same_mixture():
    """Mixtures depend on torch's random numbers only."""
    mixing = Mixing(4)
    results = []
    for _ in range(2):
        torch.manual_seed(1)
        results.append([mixing(clips(), LABELS) for _ in range(5)])
    assert all(torch.equal(a, b) and torch.equal(x, y) for (a, x), (b, y) in zip(*results, strict=True))


def test_clips_given_are_not_changed():
    """Mixing leaves the batch that it was given as it is."""
    given = clips().float() / 255
    before = given.clone()
    Mixing(4)(given, LABELS)
    assert torch.equal(given, before)


def test_batch_of_one():
    """A clip alone is mixed with itself."""
    images, shares = Mixing(4)(clips()[1:2], LABELS[:1])
    assert torch.allclose(images, clips()[1:2] / 255)
    assert torch.allclose(shares, torch.tensor([[0.0, 0.0, 1.0, 0.0]]))


@pytest.mark.parametrize("alphas", [(0.0, 0.0), (-0.2, 1.0), (0.8, -1.0)])
def test_parameters_out_of_range(alphas):
    """Negative parameters and none at all are refused."""
    with pytest.raises(ValueError, match=r"mixup_alpha .* cutmix_alpha .*one of them above 0, e\.g\. 0\.8 and 1\.0"):
        Mixing(4, *alphas)
