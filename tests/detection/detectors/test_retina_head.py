"""Losses of RetinaNet, with torchvision's as the reference."""

import pytest
import torch
from torchvision.models.detection.retinanet import RetinaNetHead

from detection.detectors.retina_head import SteadyRetinaNetHead


@pytest.fixture
def given():
    """Targets of two images, outputs, anchors and matches; the second image has no objects."""
    torch.manual_seed(0)
    corners = 50 * torch.rand(12, 2)
    anchors = torch.cat([corners, corners + 2 + 20 * torch.rand(12, 2)], 1)
    boxes = torch.tensor([[1.0, 2, 30, 40], [20, 10, 50, 60]])
    targets = [{"boxes": boxes, "labels": torch.tensor([2, 0])}]
    targets += [{"boxes": boxes[:0], "labels": torch.zeros(0, dtype=torch.int64)}]
    outputs = {"cls_logits": torch.randn(2, 12, 3), "bbox_regression": torch.randn(2, 12, 4)}
    matches = [torch.tensor([0, 1, -1, -2, 0, -1, -1, -1, -2, 1, -1, -1]), torch.full((12,), -1)]
    return targets, {name: one.requires_grad_() for name, one in outputs.items()}, [anchors, anchors], matches


def test_losses_are_torchvisions(given):
    """And so are their gradients, but for rounding."""
    found = []
    for head in (SteadyRetinaNetHead, RetinaNetHead):
        losses = head(4, 1, 3).compute_loss(*given)
        values = list(given[1].values())
        found.append([losses, torch.autograd.grad(sum(losses.values()), values)])
    torch.testing.assert_close(*found)
