"""A right kernel passes; errors that are planted are found."""

import math

import pytest
import torch

from swinv2.engines.gpu import self_check
from swinv2.engines.gpu.kernel import attention_kernel, norm_kernel
from swinv2.engines.gpu.self_check import Arrays, deviation, fault

CPU = torch.device("cpu")
SMALL, LARGE = (4, 4), (9, 8)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Fewer windows, as the interpreter is slow."""
    monkeypatch.setattr(self_check, "IMAGES", 2)
    monkeypatch.setattr(self_check, "HEADS", 1)


def kernel_of(window=SMALL, dtype=torch.float32):
    """The kernel for a window; for a large one, the window itself in place of the usual."""
    found = attention_kernel(dtype, 16, window)
    return found if window == SMALL else type(found)("attention", found.dtypes, 16, window, found.precision)


@pytest.mark.parametrize("window", [SMALL, LARGE, (20,), (2, 3, 2)])
def test_right_attention_passes(window, interpreted):
    """Of a window in a tile, and of several tiles."""
    assert fault(kernel_of(window), CPU) is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_right_attention_in_16_bits_passes(dtype, interpreted):
    """Rounding is no error."""
    assert fault(kernel_of(SMALL, dtype), CPU) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_right_norm_passes(dtype, interpreted):
    """Of each type of the branch."""
    x = torch.zeros(1, 24)
    assert fault(norm_kernel(x, x.to(dtype), torch.ones(24)), CPU) is None
    assert fault(norm_kernel(x.to(dtype), x.to(dtype), torch.ones(24, dtype=dtype)), CPU) is None


@pytest.mark.parametrize("kernel", ["attention", "large attention", "norm"])
def test_programs_have_several_windows(kernel, interpreted, monkeypatch):
    """On a card of many processors, too, so that what goes wrong from one window to the next is seen."""
    from swinv2.engines.gpu.kernels import launch, norm_launch, sizes

    shares, x = [], torch.zeros(1, 24)
    monkeypatch.setattr(sizes, "processors", lambda device: 2)
    for module in (launch, norm_launch):
        right = module.programs
        monkeypatch.setattr(
            module, "programs", lambda *given, right=right: shares.append((given, right(*given))) or shares[-1][1]
        )
    monkeypatch.setattr(self_check, "IMAGES", 1)
    of = {"attention": kernel_of(), "large attention": kernel_of(LARGE), "norm": norm_kernel(x, x, torch.ones(24))}
    assert fault(of[kernel], CPU) is None
    assert all(given[0] > number for given, number in shares)


def test_a_norm_without_stochastic_depth_is_checked_too(interpreted, monkeypatch):
    """It is compiled apart."""
    from swinv2.engines.gpu.kernels import norm_launch

    right, x = norm_launch.add_norm, torch.zeros(1, 24)

    def wrong(*given, **named):
        return right(*given, **named).mul_(1 if len(given[4]) else 2)

    monkeypatch.setattr(norm_launch, "add_norm", wrong)
    assert fault(norm_kernel(x, x, torch.ones(24)), CPU).startswith("its result is wrong")


def spoilt(monkeypatch, name, spoil, module="launch"):
    """What a kernel gives, changed after it ran."""
    from importlib import import_module

    launch = import_module(f"swinv2.engines.gpu.kernels.{module}")
    right = getattr(launch, name)
    monkeypatch.setattr(launch, name, lambda *given, **named: spoil(right(*given, **named)))


def wrong_row(results):
    """A row of the first result, of hundreds, is another."""
    first = results[0] if isinstance(results, tuple) else results
    rows = first.view(-1, first.shape[-1])
    rows[-100] = rows[-200]
    return results


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("name", "where"), [("forward", "its result"), ("backward", "a gradient")])
def test_a_wrong_row_is_found(name, where, dtype, interpreted, monkeypatch):
    """One in hundreds, whose share of the whole is as small as rounding in 16 bits."""
    spoilt(monkeypatch, name, wrong_row)
    assert fault(kernel_of(SMALL, dtype), CPU).startswith(f"{where} is wrong: ")


@pytest.mark.parametrize(
    ("name", "where"), [("add_norm", "its result is wrong"), ("add_norm_backward", "a gradient is wrong")]
)
def test_a_wrong_row_of_a_norm_is_found(name, where, interpreted, monkeypatch):
    """As of attention."""
    spoilt(monkeypatch, name, wrong_row, "norm_launch")
    x = torch.zeros(1, 24)
    assert fault(norm_kernel(x, x, torch.ones(24)), CPU).startswith(where)


def test_what_is_written_outside_is_found(interpreted, monkeypatch):
    """One number after the end of the result."""

    def beside(results):
        context = results[0]
        torch.as_strided(context, (1,), (1,), context.storage_offset() + context.numel()).fill_(1)
        return results

    spoilt(monkeypatch, "forward", beside)
    assert fault(kernel_of(), CPU) == "it writes outside of its arrays"


def test_what_is_not_written_is_found(interpreted, monkeypatch):
    """One number that stayed as it was."""
    spoilt(monkeypatch, "backward", lambda results: [results[0].view(-1)[7:8].fill_(math.nan), results][1])
    assert fault(kernel_of(), CPU) == "it leaves numbers unwritten, or writes NaN"


def test_other_bits_in_the_second_run_are_found(interpreted, monkeypatch):
    """Although both are right to rounding."""
    runs = []
    spoilt(monkeypatch, "forward", lambda results: (runs.append(1), results[0].mul_(1 + 1e-6 * len(runs)), results)[2])
    assert fault(kernel_of(), CPU) == "two runs differ in their bits"


def test_what_a_launch_raises_is_raised(interpreted, monkeypatch):
    """Whoever asks decides what it means."""

    def fail(results):
        raise RuntimeError("Failed to find C compiler")

    spoilt(monkeypatch, "forward", fail)
    with pytest.raises(RuntimeError, match="C compiler"):
        fault(kernel_of(), CPU)


@torch.inference_mode()
def test_modes_are_left_outside(interpreted):
    """A check in the middle of an evaluation has gradients, and other random numbers stay as they were."""
    state = torch.get_rng_state()
    with torch.autocast("cpu"), torch.device("meta"):
        assert fault(kernel_of(), CPU) is None
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_usual_type_is_left_outside(dtype, interpreted):
    """`torch.set_default_dtype` says of what type new numbers are, in all threads; kernels get those that they take."""
    x = torch.zeros(1, 24)
    kernels = kernel_of(), norm_kernel(x, x, torch.ones(24))
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        assert [fault(kernel, CPU) for kernel in kernels] == [None, None]
    finally:
        torch.set_default_dtype(before)


def test_arrays_tell_what_became_of_them():
    """Written, left, and written beside."""
    arrays = Arrays()
    array = arrays((2, 3), dtype=torch.float16, device=CPU)
    assert arrays.fault() == "it leaves numbers unwritten, or writes NaN"
    array.zero_()
    assert arrays.fault() is None


def test_deviations():
    """Of the whole, of a row, and of what is not finite."""
    exact = torch.ones(1000, 4, dtype=torch.float64)
    assert deviation(exact * (1 + 1e-6), exact, 2e-6) is None
    assert deviation(exact * (1 + 1e-6), exact, 5e-7) == "relative error 1.0e-06, allowed is 5.0e-07"
    row = exact.clone()
    row[3] *= -1
    assert deviation(row, exact, 0.1) == "a row has a relative error of 1.0e+00"
    row[3] = math.nan
    assert deviation(row, exact, 0.1) == "relative error nan, allowed is 1.0e-01"
