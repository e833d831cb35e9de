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
        kernels.compare(torch.sin, torch.cos, [torch.ones(3, 2, requires_grad=True)], [], (1.0, 1.0))


@pytest.mark.parametrize("wrong", [1.001, float("nan")])
def test_one_wrong_row_is_enough(wrong):
    """Among ten thousand, where the whole looks right."""

    def nearly(x):
        return torch.cat((x[:, :-1], x[:, -1:] * wrong), 1)

    with pytest.raises(SystemExit, match="a kernel is wrong"):
        kernels.compare(nearly, torch.clone, [torch.ones(1, 10000, 2, requires_grad=True)], [], (1.0, 1.0))


def test_cells_of_a_right_one(monkeypatch):
    """Error, same bits, and for both passes the time, that against the plain form, and the share of the limit."""
    monkeypatch.setattr(kernels, "REPEATS", 1)
    cells = kernels.compare(torch.clone, torch.clone, [torch.ones(3, 2, requires_grad=True)], [], (1.0, 1.0))
    assert cells[:3] == ["0.0e+00", "0.0e+00", "yes"]
    assert len(cells) + 1 == len(kernels.HEADER)


def test_gradients_of_weights_are_summed_over_images():
    """In float64 images take turns, as there is not the memory for all."""
    x, weight = torch.randn(3, 5, 2, requires_grad=True), torch.randn(2, requires_grad=True)
    grad = torch.randn(3, 5, 2)
    _, grad_x, grad_weight = kernels.exact(torch.mul, [x], [weight], grad)
    torch.testing.assert_close(grad_x, (grad * weight).double().detach())
    torch.testing.assert_close(grad_weight, (grad.double() * x).sum((0, 1)).detach())


def test_an_error_of_rounding_passes():
    """Of a whole, and of four times that in a row."""
    kernels.judge([(1e-2, 5e-2), (2e-2, 1e-1)], torch.bfloat16)
    with pytest.raises(SystemExit):
        kernels.judge([(1e-3, 7e-2)], torch.bfloat16)
    with pytest.raises(SystemExit):
        kernels.judge([(1e-3, 1e-3), (4e-2, 4.1e-2)], torch.bfloat16)


def test_the_limit_is_that_of_products_or_of_memory():
    """Whichever takes longer."""
    limits = kernels.Rates(products=10, bytes=100)
    assert kernels.least_seconds(limits, 20, 100) == 2
    assert kernels.least_seconds(limits, 20, 300) == 3
