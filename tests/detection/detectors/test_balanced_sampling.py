"""Samples of all images, with torchvision's as the reference."""

import torch
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

from detection.detectors.balanced_sampling import draw_balanced, nth_true


def test_same_samples_as_torchvision():
    """The same random numbers choose the same samples, with too few of a kind, none, and no candidates at all."""
    kinds = [torch.randint(-1, 2, (50,)), torch.zeros(30), torch.ones(9), torch.full((4,), -1), torch.zeros(0)]
    for samples, share in ((16, 0.5), (64, 0.25), (5, 1.0)):
        torch.manual_seed(1)
        wanted = zip(*BalancedPositiveNegativeSampler(samples, share)(kinds), strict=True)
        torch.manual_seed(1)
        for (positive, negative), drawn in zip(wanted, draw_balanced(kinds, samples, share), strict=True):
            assert torch.equal(drawn.positive, torch.where(positive)[0])
            assert torch.equal(drawn.negative, torch.where(negative)[0])


def test_true_values_by_their_number():
    """The third, the first and again the first true value."""
    mask = torch.tensor([False, True, True, False, True])
    assert nth_true(mask, torch.tensor([2, 0, 0])).tolist() == [4, 1, 1]


def test_one_wait(gpu):
    """However many images there are."""
    draw_balanced([torch.ones(5, device="cuda")] * 4, 3, 0.5)
    assert gpu.waits.total() == 1 and not gpu.copies
