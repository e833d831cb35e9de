"""Each GPU kernel beside the plain PyTorch that it must equal: error, same bits, time, share of the GPU's limits."""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.limits import bandwidth
from benchmarks.timing import machine, medians, ratio, table
from swinv2.engines import gpu as kernels
from swinv2.engines.gpu import attention, norm, self_check
from swinv2.windows import cut

RESULT = Path(__file__).with_suffix(".md")
ROUNDS, REPEATS = 7, 20
SIDE = 8192  # of the matrices that the rate of products is measured with
WORST = {  # error against float64 that is still rounding: of the result, of gradients
    torch.bfloat16: (1.5e-2, 3e-2),
    torch.float16: (2e-3, 4e-3),
    torch.float32: (2e-5, 2e-4),
}
ROW = 4  # times that for a row by itself
TIMES = ["{}, ms", "against plain", "limit / time"]
HEADER = ["", "error", "of gradients", "same bits", *(t.format(p) for p in ("forward", "both passes") for t in TIMES)]


class Attention(NamedTuple):
    """Attention of one block.

    Attributes:
        name: model and stage.
        grid: tokens along each axis.
        window: tokens of a window along each axis.
        heads: of 32 channels.
        shifted: whether windows are cut half a window later.
    """

    name: str
    grid: tuple[int, ...]
    window: tuple[int, ...]
    heads: int
    shifted: bool = False


ATTENTIONS = [
    *(Attention(f"T-w8-256, stage {i + 1}", (64 >> i,) * 2, (8, 8), 3 << i) for i in range(4)),
    Attention("T-w8-256, stage 1, shifted", (64, 64), (8, 8), 3, True),
    *(Attention(f"T-w16-256, stage {i + 1}", (64 >> i,) * 2, (16, 16), 3 << i) for i in range(2)),
    *(Attention(f"B-w24-384, stage {i + 1}", (96 >> i,) * 2, (24, 24), 4 << i) for i in range(4)),
    Attention("B-w24, 800 × 1216, stage 1, shifted", (200, 304), (24, 24), 4, True),
    Attention("T, clip of 16 × 224², stage 1, shifted", (8, 56, 56), (8, 7, 7), 3, True),
]
NORMS = [96, 192, 384, 768, 1024, 4096]  # channels


class Rates(NamedTuple):
    """What this GPU does a second at most, measured: multiply-adds of a large product, bytes of a copy."""

    products: float
    bytes: float


def main() -> None:
    """Compare all, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=32, help="images")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float16", "float32"])
    options = parser.parse_args()
    device = torch.device("cuda")
    if not torch.cuda.is_available() or not kernels.available(device):
        sys.exit("benchmarks.kernels needs an NVIDIA GPU of the Ampere generation or later, and Triton; found none.")
    dtype = getattr(torch, options.dtype)
    limits = rates(device, dtype)
    rows = [attention_row(case, options.batch, dtype, device, limits) for case in ATTENTIONS]
    rows += [norm_row(channels, options.batch, dtype, device, limits) for channels in NORMS]
    text = report(rows, f"--batch {options.batch} --dtype {options.dtype}", limits)
    print(text)
    RESULT.write_text(text)


def rates(device: torch.device, dtype: torch.dtype, side: int = SIDE) -> Rates:
    """Measured rates of a large matrix product and of a large copy."""
    a, b = torch.randn(2, side, side, device=device, dtype=dtype)
    product = medians({"product": lambda: a @ b}, ROUNDS, repeats=REPEATS)["product"]
    return Rates(side**3 / product, bandwidth())


def attention_row(case: Attention, batch: int, dtype: torch.dtype, device: torch.device, limits: Rates) -> list[str]:
    """The cells of one attention."""
    windows = cut(case.grid, case.window, case.shifted, device)
    slots, tokens, width = math.prod(windows.shape), batch * math.prod(case.grid), 32 * case.heads
    qkv = torch.randn(batch, *case.grid, 3, case.heads, 32, device=device, dtype=dtype).requires_grad_()
    scale = (20 * torch.rand(case.heads, device=device)).requires_grad_()
    bias = (16 * torch.rand(case.heads, slots, slots, device=device)).requires_grad_()
    ours, plainly = (partial(f, windows=windows) for f in (attention.window_attention, self_check.plain_attention))
    pairs = batch * math.prod(sum(n**2 for n in (axis.diff().tolist())) for axis in windows.starts)
    products, numbers = 2 * pairs * width, 4 * tokens * width
    least = least_seconds(limits, products, numbers * dtype.itemsize)
    both = least_seconds(limits, 3.5 * products, 3 * numbers * dtype.itemsize)  # the backward pass has five products
    return [case.name, *compare(ours, plainly, [qkv], [scale, bias], (least, both))]


def add_norm(x: Tensor, branch: Tensor, drop_path_scale: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What the kernel computes."""
    return norm.add_norm(x, branch, weight, bias, 1e-5, drop_path_scale)


def plain_add_norm(x: Tensor, branch: Tensor, drop_path_scale: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What the plain model computes."""
    return self_check.plain_add_norm(x, branch, weight, bias, 1e-5, drop_path_scale)


def norm_row(channels: int, batch: int, dtype: torch.dtype, device: torch.device, limits: Rates) -> list[str]:
    """The cells of the end of a branch, with as many numbers for each width of it; x is float32, as under autocast."""
    tokens = 64 * 64 * 96 // channels
    x = torch.randn(batch, tokens, channels, device=device, requires_grad=True)
    branch = torch.randn(batch, tokens, channels, device=device, dtype=dtype, requires_grad=True)
    weight, bias = (torch.randn(channels, device=device, requires_grad=True) for _ in range(2))
    images = [x, branch, torch.rand(batch, device=device)]
    least = x.numel() * (8 + dtype.itemsize) / limits.bytes
    both = least + x.numel() * (4 + 2 * dtype.itemsize) / limits.bytes
    cells = compare(add_norm, plain_add_norm, images, [weight, bias], (least, both))
    return [f"add and norm, {channels} channels", *cells]


def least_seconds(limits: Rates, products: float, moved: float) -> float:
    """Time below which the GPU cannot be: that of its products or of its memory."""
    return max(products / limits.products, moved / limits.bytes)


def compare(
    ours: Callable[..., Tensor],
    plainly: Callable[..., Tensor],
    images: Sequence[Tensor],
    weights: Sequence[Tensor],
    least: tuple[float, float],
) -> list[str]:
    """The cells of two functions of the same numbers.

    Args:
        ours: the kernel.
        plainly: what it must equal.
        images: what they are functions of, image after image.
        weights: what else, the same for all images.
        least: least seconds of a forward pass, and with the backward pass.

    Raises:
        SystemExit: they differ by more than rounding, as a whole or in a row.
    """
    inputs = [*images, *weights]
    trained = [x for x in inputs if x.requires_grad]
    grad = torch.randn_like(ours(*inputs))

    def step(way: Callable[..., Tensor]) -> list[Tensor]:
        result = way(*inputs)
        return [result.detach(), *torch.autograd.grad(result, trained, grad)]

    def forward(way: Callable[..., Tensor]) -> Tensor:
        with torch.no_grad():
            return way(*inputs)

    found, again = step(ours), step(ours)
    errors = [distance(*pair) for pair in zip(found, exact(plainly, images, weights, grad), strict=True)]
    judge(errors, max((x.dtype for x in inputs), key=lambda dtype: WORST[dtype]))
    same = all(torch.equal(one, other) for one, other in zip(found, again, strict=True))
    cells = [f"{errors[0][0]:.1e}", f"{max(whole for whole, _ in errors[1:]):.1e}", "yes" if same else "NO"]
    for run, limit in zip((forward, step), least, strict=True):
        calls = {"ours": partial(run, ours), "plain": partial(run, plainly)}
        time = medians(calls, ROUNDS, repeats=REPEATS)
        cells += [f"{1e3 * time['ours']:.3f}", ratio(time["ours"], time["plain"]), f"{limit / time['ours']:.2f}"]
    return cells


def exact(
    plainly: Callable[..., Tensor], images: Sequence[Tensor], weights: Sequence[Tensor], grad: Tensor
) -> list[Tensor]:
    """Result and gradients in float64, an image at a time; arguments as of `compare`, and the result's gradient."""
    steps = []
    for image in range(len(grad)):
        numbers = [*(x[image : image + 1] for x in images), *weights]
        inputs = [x.detach().double().requires_grad_(x.requires_grad) for x in numbers]
        result = plainly(*inputs)
        wanted = [x for x in inputs if x.requires_grad]
        grads = torch.autograd.grad(result, wanted, grad[image : image + 1].double())
        steps.append([result.detach(), *grads])
    of_images = 1 + sum(x.requires_grad for x in images)
    return [
        torch.cat(parts) if number < of_images else torch.stack(parts).sum(0)
        for number, parts in enumerate(zip(*steps, strict=True))
    ]


def distance(one: Tensor, other: Tensor) -> tuple[float, float]:
    """Length of the difference, and of its worst row, relative to the second and to its row or a row on average."""
    difference, length = (one.double() - other).norm(dim=-1), other.norm(dim=-1)
    average = length.square().mean().sqrt().clamp(min=1e-6)
    whole = difference.square().mean().sqrt() / average
    return float(whole), float((difference / length.clamp(min=average)).max())


def judge(errors: Sequence[tuple[float, float]], dtype: torch.dtype) -> None:
    """End the benchmark if errors of the result and of gradients are more than rounding."""
    for number, (whole, row) in enumerate(errors):
        worst = WORST[dtype][number > 0]
        if not (row <= ROW * worst and (whole <= worst or whole == row)):  # NaN, too, is wrong
            sys.exit(f"a kernel is wrong: relative errors, and of the worst rows, of result and gradients {errors}")


def report(rows: Sequence[list[str]], options: str, limits: Rates) -> str:
    """The table and how it came about.

    Args:
        rows: cells.
        options: of the command.
        limits: measured rates.
    """
    return (
        f"# GPU kernels beside plain PyTorch\n\n{table(HEADER, list(rows))}\n\n"
        f"Limit: the larger of two times, of the matrix products at {2e-12 * limits.products:.0f} TFLOP/s and of the\n"
        f"tensors read and written once at {1e-12 * limits.bytes:.2f} TB/s, both measured in the same run. Errors are\n"
        f"relative to plain PyTorch in float64. `python -m benchmarks.kernels {options}`, {machine()}.\n"
    )


if __name__ == "__main__":
    main()
