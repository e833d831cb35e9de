"""Whether kernels give the right numbers, write all of what they should and nothing else, in small and large arrays."""

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu_checks.attention import DTYPES, LIMITS, ROW, Case, by_kernels, cases, forward, given, plainly
from benchmarks.gpu_checks.figure import Figure, Place, error, row_error, same_bits

BAND = 4096  # numbers around each array
CHANNELS = (24, 96, 192, 384, 768, 1024, 4096)
NORM_LIMITS = (2e-5, 1e-2)  # of float32, and of a branch in 16 bits
MANY = 1900  # images whose queries, keys and values are more than 2**31 numbers


def parity(place: Place) -> Iterator[Figure]:
    """Results and gradients beside the plain model in float64, as a whole and row by row; the same bits twice."""
    for dtype in DTYPES:
        for case in cases(place):
            yield attention_parity(place, case, dtype)
    for channels in CHANNELS[:1] if place.tiny else CHANNELS:
        for dtype in DTYPES:
            yield norm_parity(place, channels, dtype)


def attention_parity(place: Place, case: Case, dtype: torch.dtype) -> Figure:
    """One attention in one type."""
    numbers = given(place, case, dtype)
    start = time.perf_counter()
    found = by_kernels(numbers)
    place.wait()
    first = time.perf_counter() - start
    wanted = plainly(numbers, torch.float64)
    errors = [error(one, other) for one, other in zip(found, wanted, strict=True)]
    rows = [row_error(one, other) for one, other in zip(found[:2], wanted[:2], strict=True)]
    same = same_bits(found, by_kernels(numbers))
    most, of_grads = LIMITS[dtype]
    good = same and errors[0] <= most and max(errors[1], errors[3]) <= of_grads and errors[2] <= 10 * of_grads
    good = good and rows[0] <= ROW * most and rows[1] <= ROW * of_grads
    text = f"{' '.join(f'{one:.1e}' for one in errors)}; rows {' '.join(f'{one:.1e}' for one in rows)}"
    text += f"; {'same bits' if same else 'OTHER BITS'} twice; first call {first:.1f} s"
    expected = f"result {most:.0e}, gradients of qkv, scale (x 10), bias {of_grads:.0e}; rows x {ROW}"
    return Figure(f"{str(dtype)[6:]}, {case}", text, expected, good)


def norm_parity(place: Place, channels: int, dtype: torch.dtype) -> Figure:
    """The end of a branch of one width, whose branch has one type and whose sum is float32, with images left out."""
    from swinv2.engines.gpu.kernels.norm_launch import add_norm, add_norm_backward

    made = torch.Generator(place.device).manual_seed(channels)
    x, branch, grad = torch.randn(3, 4, 11, 7, channels, device=place.device, generator=made)
    weight, bias = torch.randn(2, channels, device=place.device, generator=made)
    branch, factors = branch.to(dtype), torch.tensor([0, 1.25, 1.25, 0], device=place.device)
    found = [add_norm(x, branch, weight, bias, factors, 1e-5)]
    found += add_norm_backward(grad, branch, weight, factors, 1e-5)
    wide = [one.double().requires_grad_() for one in (branch, weight, bias)]
    result = x.double() + F.layer_norm(wide[0], (channels,), *wide[1:], 1e-5) * factors.double().view(-1, 1, 1, 1)
    wanted = [result.detach(), *torch.autograd.grad(result, wide, grad.double())]
    errors = [error(one, other) for one, other in zip(found, wanted, strict=True)]
    low, high = NORM_LIMITS
    good = max(errors[0], *errors[2:]) <= low and errors[1] <= (low if dtype == torch.float32 else high)
    text = " ".join(f"{one:.1e}" for one in errors)
    return Figure(
        f"{str(dtype)[6:]}, norm of {channels} channels", text, f"{low:.0e}, branch in 16 bits {high:.0e}", good
    )


class Bands:
    """Makes arrays of NaN within bands of NaN, as `torch.empty` does."""

    def __init__(self) -> None:
        self.made: list[tuple[Tensor, int]] = []

    def __call__(self, size: Sequence[int], **options: Any) -> Tensor:
        """An array."""
        number = math.prod(size)
        whole = torch.full((number + 2 * BAND,), math.nan, **options)
        self.made.append((whole, number))
        return whole[BAND : BAND + number].view(*size)

    def found(self) -> tuple[bool, bool]:
        """Whether something is written outside, and whether something is not written inside."""
        parts = [whole.isnan().split([BAND, number, BAND]) for whole, number in self.made]
        outside = any(not (before.all() and after.all()) for before, _, after in parts)
        return outside, any(bool(inside.any()) for _, inside, _ in parts)


def guards(place: Place) -> Iterator[Figure]:
    """What is not written stays NaN, and what is written outside shows in the bands."""
    for case in cases(place):
        bands = Bands()
        by_kernels(given(place, case, torch.bfloat16), bands)
        outside, unwritten = bands.found()
        good = bool(bands.made) and not outside and not unwritten
        yield Figure(str(case), f"outside {outside}, unwritten {unwritten}", "False, False", good)


def large_offsets(place: Place) -> Iterator[Figure]:
    """The last image of an array of more than 2**31 numbers, beside itself alone."""
    case = Case(8, (8, 8), (8, 8), True, 2) if place.tiny else Case(MANY, (64, 64), (8, 8), True, 3)
    numbers = given(place, case._replace(batch=1), torch.bfloat16)
    many = torch.empty(case.batch, *numbers.qkv.shape[1:], device=place.device, dtype=torch.bfloat16).normal_()
    many[-1] = numbers.qkv[0]
    last, alone = forward(numbers._replace(qkv=many))[0][-1], forward(numbers)[0][0]
    same = torch.equal(last, alone)
    yield Figure(f"last of {case.batch} images ({many.numel():,} numbers) as alone", str(same), "True", same)
