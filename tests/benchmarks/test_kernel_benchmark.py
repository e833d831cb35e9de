import sys

import pytest
import torch

from benchmarks import kernels


def test_without_a_gpu_it_says_so(monkeypatch):
    """Kernels are measured where they run, or not at all."""
    monkeypatch.setattr(sys, "argv", ["kernels"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="needs an NVIDIA GPU"):
        kernels.main()


def test_a_wrong_kernel_is_not_timed():
    """What differs by more than rounding ends the benchmark."""
    with pytest.raises(SystemExit, match="a kernel is wrong"):
        kernels.compare(torch.sin, torch.cos, [torch.ones(3)], (1.0, 1.0))


def test_cells_of_a_right_one(monkeypatch):
    """Error, same bits, and for both passes the time, that against the plain form, and the share of the limit."""
    monkeypatch.setattr(kernels, "REPEATS", 1)
    cells = kernels.compare(torch.sin, torch.sin, [torch.ones(3)], (1.0, 1.0))
    assert cells[:3] == ["0.0e+00", "0.0e+00", "yes"]
    assert len(cells) + 1 == len(kernels.HEADER)


def test_the_limit_is_that_of_products_or_of_memory():
    """Whichever takes longer."""
    limits = kernels.Rates(products=10, bytes=100)
    assert kernels.least_seconds(limits, 20, 100) == 2
    assert kernels.least_seconds(limits, 20, 300) == 3
