"""Layers that sum up their own gradients."""

import pytest
import torch
import torch.nn.functional as F

from swinv2.engines.cpu.layers import LinearWithGrad, ResidualNorm


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_gradients_of_many_runs_are_summed_in_float32(dtype):
    """Rounding does not grow with the number of runs."""
    torch.manual_seed(0)
    weight, bias = torch.randn(16, 24), torch.randn(16)
    layer = LinearWithGrad((weight, bias), (True, True), dtype, tokens=6400)
    x, grad = torch.randn(6400, 24).to(dtype), torch.randn(6400, 16).to(dtype)
    for rows, grads in zip(x.split(64), grad.split(64), strict=True):
        layer.backward(rows, grads)
    wanted = [grad.double().mT @ x.double(), grad.double().sum(0)]
    for found, exact in zip(layer.gradients(), wanted, strict=True):
        assert found.dtype == torch.float32
        assert (found - exact).norm() < 3e-3 * exact.norm()


def test_branch_is_normalised_in_the_type_of_the_norm():
    """A branch in bfloat16 is added in float32."""
    end = ResidualNorm((torch.ones(8), torch.zeros(8)), (True, True), eps=1e-5)
    x, branch = torch.randn(5, 8), torch.randn(5, 8).bfloat16()
    torch.testing.assert_close(end.forward(x, branch, None), x + F.layer_norm(branch.float(), (8,)))
    assert end.backward(branch, torch.randn(5, 8), None).dtype == torch.bfloat16  # what its layer multiplies
