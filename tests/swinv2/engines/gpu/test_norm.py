import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from swinv2.engines.gpu import norm


def as_written(x, branch, weight, bias, eps, drop_path_scale=None):
    """The same in plain PyTorch, in the widest type of tokens, branch and weight."""
    branch = branch.to(torch.promote_types(branch.dtype, weight.dtype))
    normed = F.layer_norm(branch, weight.shape, weight, bias, eps)
    if drop_path_scale is not None:
        normed = normed * drop_path_scale.to(normed.dtype).view(-1, *[1] * (x.ndim - 1))
    return x + normed


def problem(channels=24, dtype=torch.float32, weights=torch.float32, grid=(2, 5, 3)):
    """Tokens, a branch of another type, weight and bias."""
    x, branch = torch.randn(*grid, channels), torch.randn(*grid, channels)
    weight, bias = 1 + torch.randn(channels), torch.randn(channels)
    return x.to(weights), branch.to(dtype), weight.to(weights), bias.to(weights)


@pytest.mark.parametrize("drop_path_scale", [None, torch.tensor([0.0, 1.25])])
@pytest.mark.parametrize(("channels", "grid"), [(24, (2, 5, 3)), (96, (2, 7)), (3000, (2, 2, 1, 2)), (1, (2, 3))])
def test_float32(channels, grid, drop_path_scale, interpreted, compared, farthest):
    """The kernel gives what the plain form gives in float64, and its gradients, for rows of any length."""
    kernel, plain = (partial(f, eps=1e-5, drop_path_scale=drop_path_scale) for f in (norm.add_norm, as_written))
    assert farthest(compared(kernel, plain, problem(channels, grid=grid))) < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_branches_of_half_precision(dtype, interpreted, compared, farthest):
    """Under autocast the branch has 16 bit, and the sum is float32 and as good."""
    kernel, plain = (partial(f, eps=1e-5) for f in (norm.add_norm, as_written))
    total, grad_x, grad_branch, *of_weights = compared(kernel, plain, problem(96, dtype))
    assert total[0].dtype == torch.float32
    assert grad_branch[0].dtype == dtype
    assert farthest([total, grad_x, *of_weights]) < 1e-5
    assert farthest([grad_branch]) < 1e-2


def test_all_in_half_precision(interpreted, compared, farthest):
    """A model in bfloat16 stays in it, and each number is rounded once."""
    kernel, plain = (partial(f, eps=1e-5) for f in (norm.add_norm, as_written))
    pairs = compared(kernel, plain, problem(96, torch.bfloat16, torch.bfloat16))
    assert {ours.dtype for ours, _ in pairs} == {torch.bfloat16}
    assert farthest(pairs) < 5e-3


def test_the_same_bits_in_every_run(interpreted, compared):
    """Gradients of weight and bias are summed in a fixed order."""
    kernel = partial(norm.add_norm, eps=1e-5)
    pairs = compared(kernel, kernel, problem(grid=(2, 300)), torch.float32)
    assert all(torch.equal(*pair) for pair in pairs)


def test_large_means_cost_no_digits(interpreted, farthest):
    """The variance is that of the centred row, not a difference of large numbers."""
    x, branch, weight, bias = problem()
    branch = branch + 1000
    ours = norm.add_norm(x, branch, weight, bias, 1e-5)
    exact = as_written(x.double(), branch.double(), weight.double(), bias.double(), 1e-5)
    assert farthest([(ours, exact)]) < 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2, 5, 3, 24).double()}, "got 24 in torch.float64, torch.float32"),
        ({"drop_path_scale": torch.ones(7)}, "30 tokens are not of 7 images"),
        (
            {"x": torch.zeros(1, 8193), "branch": torch.zeros(1, 8193)},
            "at most 8192 channels in float32 or 16 bits, got 8193",
        ),
    ],
)
def test_what_the_kernel_cannot_take(change, message):
    """What is too wide, of another type or of another shape is named."""
    given = dict(zip(("x", "branch", "weight", "bias"), problem(), strict=True)) | {"eps": 1e-5} | change
    if "branch" in change:
        given |= {"weight": torch.zeros(8193), "bias": torch.zeros(8193)}
    with pytest.raises(ValueError, match=message):
        norm.add_norm(**given)


def test_shapes_that_do_not_fit():
    """Outside of this test run, which checks annotations, a kernel must not read beyond a tensor."""
    x, branch, weight, _ = problem()
    assert "do not fit: (2, 5, 3, 24), (2, 5, 3, 24) and (23,)" in norm._unsupported(x, branch, weight[1:], None)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the check looks at some
def test_the_operator_is_what_pytorch_expects(interpreted):
    """Its schema, its shapes without numbers, and its derivative agree, for changing sizes, too."""
    inputs = [x.requires_grad_() for x in problem()]
    checks = torch.library.opcheck(norm._add_norm, (*inputs, torch.tensor([0.0, 1.25]), 1e-5))
    assert set(checks.values()) == {"SUCCESS"}


@pytest.mark.parametrize("drop_path_scale", [None, torch.ones(0)])
def test_an_empty_batch(drop_path_scale, interpreted):
    """No kernel starts; weights have gradients of zero."""
    inputs = [x.requires_grad_() for x in problem(grid=(0, 5, 3))]
    out = norm.add_norm(*inputs, 1e-5, drop_path_scale)
    grads = torch.autograd.grad(out.sum(), inputs)
    assert out.shape == (0, 5, 3, 24)
    assert [grad.shape for grad in grads] == [x.shape for x in inputs]
    assert not any(grad.any() for grad in grads)


def test_kernels_write_what_is_theirs_and_all_of_it(interpreted):
    """Between NaN, in arrays full of NaN, nothing is left and nothing is written beside."""
    from swinv2.engines.gpu.kernels import norm_launch

    around = []

    def empty(size, dtype, device):
        around.append((torch.full((math.prod(size) + 16,), math.nan, dtype=dtype, device=device), math.prod(size)))
        return around[-1][0][8:-8].view(size)

    x, branch, weight, bias = problem(grid=(2, 300))
    factors = torch.tensor([0.0, 1.25])
    out = norm_launch.add_norm(x, branch, weight, bias, factors, 1e-5, empty)
    grads = norm_launch.add_norm_backward(x, branch, weight, factors, 1e-5, empty)
    assert all(result.isfinite().all() for result in (out, *grads))
    assert all(band[:8].isnan().all() and band[8 + size :].isnan().all() for band, size in around)
