"""What holds for every test."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded():
    """The same random numbers whichever tests run before."""
    torch.manual_seed(0)
