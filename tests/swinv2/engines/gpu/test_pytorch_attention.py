from functools import partial

import pytest
import torch

from swinv2.engines.gpu import pytorch_attention
from swinv2.engines.gpu.self_check import plain_attention
from swinv2.windows import cut

CPU = torch.device("cpu")


def problem(size, window, shifted, dtype=torch.float64, width=20):
    """Windows, and queries, keys and values, scale and bias for them."""
    windows = cut(size, window, shifted, CPU)
    slots, wide = windows.token.shape[1], torch.promote_types(dtype, torch.float32)
    qkv = torch.randn(2, *size, 3, 3, width).to(dtype)
    return windows, (qkv, 20 * torch.rand(3, dtype=wide), 16 * torch.rand(3, slots, slots, dtype=wide))


def pairs(windows, numbers, wants_bias=True):
    """Results and gradients, and those of the plain model."""
    exact = [x.double().requires_grad_() for x in numbers]
    wanted = plain_attention(*exact, windows)
    grad = torch.randn_like(wanted).to(numbers[0].dtype)
    found = pytorch_attention.forward(*numbers, windows)
    grads = pytorch_attention.backward(grad, *numbers, windows, wants_bias)
    return [*zip((found, *grads), (wanted, *torch.autograd.grad(wanted, exact, grad.double())), strict=True)]


@pytest.mark.parametrize("scores", [2**25, 300, 1])
@pytest.mark.parametrize(
    "cut_into",
    [((20,), (8,), True), ((13, 9), (6, 6), True), ((8, 12), (4, 4), False), ((3, 4, 5), (2, 2, 3), True)],
    ids=str,
)
def test_it_is_the_plain_attention(cut_into, scores, monkeypatch):
    """Whole, and some windows and heads at a time."""
    monkeypatch.setattr(pytorch_attention, "SCORES", scores)
    for found, wanted in pairs(*problem(*cut_into)):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 4e-3), (torch.float16, 1e-3)])
def test_types(dtype, tolerance):
    """Scores are in float32, and only the result is rounded."""
    windows, numbers = problem((13, 9), (6, 6), True, dtype)
    for found, wanted in pairs(windows, numbers):
        assert (found.double() - wanted).norm() < tolerance * wanted.norm()
    assert pytorch_attention.forward(*numbers, windows).dtype == dtype


def test_more_windows_than_a_launch_takes(monkeypatch):
    """CUDA starts at most 65,535 programs along an axis."""
    given, sdpa = [], torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        pytorch_attention.F,
        "scaled_dot_product_attention",
        lambda q, *rest, **options: given.append(len(q)) or sdpa(q, *rest, **options),
    )
    windows = cut((300, 230), (1, 1), False, CPU)
    numbers = torch.randn(1, 300, 230, 3, 1, 8), torch.ones(1), torch.zeros(1, 1, 1)
    torch.testing.assert_close(pytorch_attention.forward(*numbers, windows), numbers[0][..., 2, 0, :])
    assert given == [32768, 32768, 3464]


def test_never_by_cudnn(monkeypatch):
    """Only the efficient operator and the plain one are allowed."""
    allowed, sdpa = [], torch.nn.functional.scaled_dot_product_attention

    def attend(*given, **options):
        back = torch.backends.cuda
        allowed.append(
            (
                back.cudnn_sdp_enabled(),
                back.flash_sdp_enabled(),
                back.mem_efficient_sdp_enabled(),
                back.math_sdp_enabled(),
            )
        )
        return sdpa(*given, **options)

    monkeypatch.setattr(pytorch_attention.F, "scaled_dot_product_attention", attend)
    windows, numbers = problem((13, 9), (6, 6), True, torch.float32)
    pytorch_attention.forward(*numbers, windows)
    assert allowed == [(False, False, True, True)]


def test_no_gradient_of_the_bias_for_each_window():
    """What is in memory at a time does not grow with the number of windows."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.numbers = max(self.numbers, out.numel())
            return out

    windows, numbers = problem((64, 64), (8, 8), False, torch.float32, 8)
    grad = torch.randn(2, 64, 64, 24)
    with Largest() as largest, pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytorch_attention, "SCORES", 2**15)  # of 1.5 million
        pytorch_attention.backward(grad, *numbers, windows)
    assert largest.numbers == numbers[0].numel()


@pytest.mark.parametrize("wants_bias", [True, False])
def test_gradients_that_nobody_wants(wants_bias):
    """Have no numbers."""
    *_, (found, wanted) = pairs(*problem((13, 9), (6, 6), False), wants_bias)
    assert found.shape == (wanted.shape if wants_bias else (0,))


def test_an_empty_batch():
    """Has empty results, and weights gradients of zero."""
    windows, (qkv, scale, bias) = problem((13, 9), (6, 6), True)
    assert pytorch_attention.forward(qkv[:0], scale, bias, windows).shape == (0, 13, 9, 60)
    grads = pytorch_attention.backward(torch.zeros(0, 13, 9, 60).double(), qkv[:0], scale, bias, windows)
    assert [grad.shape for grad in grads] == [(0, *qkv.shape[1:]), scale.shape, bias.shape]
    assert not any(grad.any() for grad in grads)


def test_the_same_bits_in_every_run():
    """Sums are in a fixed order."""
    windows, numbers = problem((13, 9), (6, 6), True, torch.float32)
    run = partial(pytorch_attention.backward, torch.ones(2, 13, 9, 60), *numbers, windows)
    assert all(map(torch.equal, run(), run()))
