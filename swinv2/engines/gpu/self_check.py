"""A kernel beside the plain model in float64, before it is used: numbers, gradients, what is written, the same bits."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ...attention import window_attention
from ...windows import Size, Windows, cut
from .kernel import Kernel

IMAGES, HEADS = 4, 3
BAND = 4096  # numbers before and after each array that a kernel writes
TOLERANCE = {  # of results and of gradients, relative to their lengths
    torch.float32: (2e-5, 2e-4),
    torch.bfloat16: (1.5e-2, 3e-2),
    torch.float16: (2e-3, 4e-3),
}
REDUCED = (2e-3, 4e-3)  # of float32 whose products are of lower precision
ROW = 4  # times as far a single row may be, of which a kernel may spoil one in hundreds
SUM = 10  # times as far the gradient of the scale may be, a small sum of large numbers

Run = Callable[..., list[Tensor]]


def fault(kernel: Kernel, device: torch.device) -> str | None:
    """What is wrong with a kernel, in words; None if nothing is.

    Forward and backward pass are compared with the plain model in float64 on the CPU, as a whole and row by row; they
    run twice for equal bits; and they write to arrays of NaN within bands of NaN, which show what is not written and
    what is written outside. There are so many copies of a few images that programs go on from one window to the next,
    and each copy must be right. All is done in a thread of its own, where no mode of PyTorch is on.

    Args:
        kernel: to be checked.
        device: where it runs.

    Raises:
        Exception: whatever compiling and launching raise.
    """
    check = _attention_fault if kernel.name == "attention" else _norm_fault
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(check, kernel, device).result()


class Arrays:
    """Makes arrays of NaN within bands of NaN, and says what became of them."""

    def __init__(self) -> None:
        self._made: list[tuple[Tensor, int]] = []

    def __call__(self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """As `torch.empty`."""
        number = math.prod(size)
        whole = torch.full((number + 2 * BAND,), math.nan, dtype=dtype, device=device)
        self._made.append((whole, number))
        return whole[BAND : BAND + number].view(*size)

    def fault(self) -> str | None:
        """What is wrong with what was written."""
        for whole, number in self._made:
            before, inside, after = whole.isnan().split([BAND, number, BAND])
            if not (before.all() and after.all()):
                return "it writes outside of its arrays"
            if inside.any():
                return "it leaves numbers unwritten, or writes NaN"
        return None


def plain_attention(
    qkv: Float[Tensor, "b *grid 3 heads d"],
    scale: Float[Tensor, " heads"],
    bias: Float[Tensor, "heads n n"],
    windows: Windows,
) -> Float[Tensor, "b *grid c"]:
    """What the plain model computes."""
    slots = windows.gather(qkv.flatten(-3).flatten(1, -2)).unflatten(-1, qkv.shape[-3:])
    q, k, v = slots.permute(3, 0, 1, 4, 2, 5)
    context = window_attention(q, k, v, scale.view(-1, 1, 1), bias, windows.filled)
    return windows.scatter(context.transpose(2, 3).flatten(3).to(qkv.dtype)).view(*qkv.shape[:-3], -1)


def plain_add_norm(
    x: Float[Tensor, "b *grid c"],
    branch: Float[Tensor, "b *grid c"],
    weight: Float[Tensor, " c"],
    bias: Float[Tensor, " c"],
    eps: float,
    factors: Float[Tensor, " b"] | None,
) -> Float[Tensor, "b *grid c"]:
    """What the plain model computes at the end of a branch, which is scaled by the factors of stochastic depth."""
    dtype = torch.promote_types(branch.dtype, weight.dtype)
    normed = F.layer_norm(branch.to(dtype), weight.shape, weight.to(dtype), bias.to(dtype), eps)
    return x + (normed if factors is None else normed * factors.to(dtype).view(-1, *[1] * (x.ndim - 1)))


def _attention_fault(kernel: Kernel, device: torch.device) -> str | None:
    from .kernels.launch import backward, forward
    from .kernels.sizes import most_programs

    size = _grid(kernel.window)
    slots, (dtype,) = math.prod(kernel.window), kernel.dtypes
    made = torch.Generator().manual_seed(slots)
    q, k, v = torch.randn(3, IMAGES, *size, HEADS, kernel.width, generator=made).to(dtype)
    scale = torch.tensor([1.0, 5.0, 25.0], dtype=torch.float32)[:HEADS]  # from even scores to sharp ones
    bias = scale.sqrt().view(-1, 1, 1) * torch.rand(HEADS, slots, slots, generator=made, dtype=torch.float32)
    grad = torch.randn(IMAGES, *size, HEADS * kernel.width, generator=made).to(dtype)
    windows = cut(size, kernel.window, True, device)
    copies = most_programs(HEADS, device) // (IMAGES * len(windows.token)) + 1

    def run(empty: Arrays, grad: Tensor, *given: Tensor) -> list[Tensor]:
        qkv, scale, bias = _copied(torch.stack(given[:3], -3), copies), given[3], given[4]
        where = windows.starts, windows.shape
        context, lse = forward(qkv, scale, bias, *where, empty=empty)
        grad_qkv, *sums = backward(_copied(grad, copies), qkv, scale, bias, context, lse, *where, empty=empty)
        return [context, *grad_qkv.unbind(-3), *(total / copies for total in sums)]

    def plain(*given: Tensor) -> Tensor:
        on_host = cut(size, kernel.window, True, torch.device("cpu"))
        return plain_attention(torch.stack(given[:3], -3), given[3], given[4], on_host)

    reduced = dtype == torch.float32 and kernel.precision != "ieee"
    result, gradient = REDUCED if reduced else TOLERANCE[dtype]
    tolerances = [result, *[gradient] * 3, SUM * gradient, gradient]
    return _compare(run, plain, [q, k, v, scale, bias], grad, device, tolerances)


def _norm_fault(kernel: Kernel, device: torch.device) -> str | None:
    drawn = 1.25 * (torch.arange(IMAGES) > 0).float()
    faults = (_norm_fault_with(factors, kernel, device) for factors in (drawn, None))
    return next(filter(None, faults), None)


def _norm_fault_with(factors: Tensor | None, kernel: Kernel, device: torch.device) -> str | None:
    """What is wrong with a norm with, or without, factors of stochastic depth, which are two kernels."""
    from .kernels.norm_launch import NUMBERS, add_norm, add_norm_backward
    from .kernels.sizes import SUMMED, most_programs

    made, (of_x, of_branch, of_weight) = torch.Generator().manual_seed(kernel.width), kernel.dtypes
    x, branch, grad = torch.randn(3, IMAGES, 33, 7, kernel.width, generator=made)
    weight, bias = torch.randn(2, kernel.width, generator=made)
    given = [x.to(of_x), branch.to(of_branch), 1 + weight.to(of_weight), bias.to(of_weight)]
    grad = grad.to(torch.promote_types(of_x, torch.promote_types(of_branch, of_weight)))
    rows = most_programs(1, device, SUMMED) * max(NUMBERS // kernel.width, 1)  # of all programs at a time
    copies = rows // x[..., 0].numel() + 1

    def run(empty: Arrays, grad: Tensor, x: Tensor, branch: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
        scale = weight.new_empty(0) if factors is None else _copied(factors.to(device), copies)
        x, branch, grad = (_copied(tensor, copies) for tensor in (x, branch, grad))
        total = add_norm(x, branch, weight, bias, scale, 1e-5, empty=empty)
        grad_branch, *sums = add_norm_backward(grad, branch, weight, scale, 1e-5, empty=empty)
        return [total, grad, grad_branch, *(one / copies for one in sums)]

    def plain(x: Tensor, branch: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return plain_add_norm(x, branch, weight, bias, 1e-5, factors)

    tolerances = [TOLERANCE[torch.float32 if grad.dtype == torch.float32 else torch.bfloat16][0]] * 5
    tolerances[2] = TOLERANCE[of_branch][0]
    return _compare(run, plain, given, grad, device, tolerances)


def _copied(images: Tensor, copies: int) -> Tensor:
    """Images, one copy of all after the other."""
    return images.repeat(copies, *[1] * (images.ndim - 1))


def _grid(window: Size) -> Size:
    """Tokens along each axis, for shifted windows: three, which differ in length, and five along the last axis."""
    *first, last = window
    return *(w // 2 + w + max(w // 3, 1) for w in first), last // 2 + 3 * last + max(last // 3, 1)


def _compare(
    run: Run,
    plain: Callable[..., Tensor],
    given: Sequence[Tensor],
    grad: Tensor,
    device: torch.device,
    tolerances: Sequence[float],
) -> str | None:
    """What is wrong with a kernel.

    Args:
        run: result and gradients by the kernel, of a maker of arrays, the gradient of the result, and numbers; those
            of images may be of several copies.
        plain: result by the plain model.
        given: numbers, on the CPU.
        grad: gradient of the result, on the CPU.
        device: where the kernel runs.
        tolerances: of the result and of each gradient.
    """
    moved = [x.to(device) for x in (grad, *given)]
    arrays = Arrays(), Arrays()
    found, again = (run(empty, *moved) for empty in arrays)
    for empty in arrays:
        if (wrong := empty.fault()) is not None:
            return wrong
    if not all(map(torch.equal, found, again)):
        return "two runs differ in their bits"
    exact = [x.double().requires_grad_() for x in given]
    result = plain(*exact)
    wanted = [result.detach(), *torch.autograd.grad(result, exact, grad.double())]
    names = ["its result", *["a gradient"] * len(given)]
    for name, ours, theirs, tolerance in zip(names, found, wanted, tolerances, strict=True):
        if (wrong := deviation(ours.cpu(), _copied(theirs, len(ours) // len(theirs)), tolerance)) is not None:
            return f"{name} is wrong: {wrong}"
    return None


def deviation(ours: Tensor, theirs: Tensor, tolerance: float) -> str | None:
    """By how much numbers deviate, as a whole or in a row (along the last axis); None if it is within the tolerance.

    Args:
        ours: numbers.
        theirs: what they must equal, in float64.
        tolerance: largest relative error of the whole; `ROW` times as much is that of a row.
    """
    length = theirs.norm().clamp(min=1e-12)
    difference = ours.to(theirs.dtype) - theirs
    whole = float(difference.norm() / length)
    if not whole <= tolerance:
        return f"relative error {whole:.1e}, allowed is {tolerance:.1e}"
    rows = theirs.norm(dim=-1)
    row = float((difference.norm(dim=-1) / (rows + rows.median()).clamp(min=1e-12)).max())
    return f"a row has a relative error of {row:.1e}" if not row <= ROW * tolerance else None
