import pytest
import torch
from torch import nn

from benchmarks.training import apart, kept


class Twice(nn.Module):
    """Two layers, the second of which keeps the squares that the first one's output keeps, too."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(256, 4096, bias=False), nn.Linear(4096, 8, bias=False)

    def forward(self, x):
        """Logits."""
        y = self.first(x).square()  # keeps its input, 4096 numbers an image
        return self.second(y) + y[:, :8]  # keeps its input, 4096 more


def test_kept_counts_each_storage_once_and_no_weights():
    """Counted are the tensors in between, not the images and weights that the graph holds, too."""
    bytes_in_between = kept(Twice(), torch.randn(8, 256), half=False) * 2**20
    assert bytes_in_between == pytest.approx(8 * 2 * 4096 * 4, rel=0.05)  # and a little of the loss


def test_gradients_are_compared_by_parameter():
    """A small gradient's error counts as much as a large one's."""
    reference = {"large": torch.tensor([100.0, 1.0]), "small": torch.tensor([0.01, 0.01])}
    found = {"large": torch.tensor([101.0, 1.0]), "small": torch.tensor([0.013, 0.01])}
    assert apart(found, reference) == pytest.approx((0.3, (0.0001 / 2 + 0.09 / 2) ** 0.5))
