"""Weights and outputs that are no numbers."""

from pathlib import Path

import pytest
import torch
from torch import nn

from swinv2.training.finite import NotFiniteError, check_finite, finite_outputs


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_checkpoint(value):
    """Tensors that are not finite are counted, and the first is named with the way out."""
    state = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).state_dict()
    check_finite({"state_dict": state})
    state["0.bias"][1] = value
    with pytest.raises(ValueError, match=r"holds NaN or infinity in 1 tensors, first 0\.bias: its training diverged"):
        check_finite({"state_dict": state})


def test_outputs():
    """Within the context an output that is not finite is an error with the image; after it there is none."""
    model = nn.Identity()
    with finite_outputs(model, Path("a.jpg")):
        assert model(torch.ones(2)).sum() == 2
        with pytest.raises(NotFiniteError, match=r"output of the model for a\.jpg is not finite"):
            model(torch.tensor([1.0, torch.inf]))
    model(torch.tensor([torch.nan]))
