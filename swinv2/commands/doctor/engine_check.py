"""Whether an engine computes on a device what a block is: results and gradients beside the plain form in float64."""

import copy
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from swinv2 import explain, optimize_for_inference, use_engine

from ...backbone import Block
from ...windows import Size, Windows, cut
from .finding import Finding, first_line


class Case(NamedTuple):
    """Tokens in windows.

    Attributes:
        grid: tokens along each axis.
        window: of a window.
        shifted: whether windows are cut half a window later.
    """

    grid: Size
    window: Size
    shifted: bool

    def __str__(self) -> str:
        return f"windows of {' x '.join(map(str, self.window))}{', shifted' if self.shifted else ''}"


CASES = (  # windows that one tile of a kernel holds, that it does not, on more axes, and smaller at the border
    Case((13, 18), (8, 8), True),
    Case((20, 17), (16, 16), False),
    Case((4, 9, 8), (4, 7, 7), True),
)
LIMITS = {  # largest errors that are rounding, of results and of gradients, in multiples of the type's own
    torch.float32: (16, 64),
    torch.bfloat16: (6, 24),
    torch.float16: (6, 24),
}
HEADS, WIDTH, IMAGES = 2, 32, 2


def check_engine(device: torch.device, engine: Any, label: str) -> Iterator[Finding]:
    """Errors of an engine in each type that the device computes in; what differs by more than rounding is wrong.

    Args:
        device: where it computes.
        engine: name of the engine.
        label: name of the findings.
    """
    for dtype in computed_types(device):
        name = f"{label}, {str(dtype).removeprefix('torch.')}"
        try:
            found = {case: errors(device, engine, dtype, case) for case in CASES}
        except Exception as error:  # whatever a compiler or a driver raises
            refused = isinstance(error, ValueError) and str(error).startswith(f"the engine {engine} cannot")
            yield Finding(name, str(error) if refused else f"fails: {first_line(error)}", not refused)
            continue
        results, grads = (
            largest(*(one for one, _, _ in found.values())),
            largest(*(one for _, one, _ in found.values())),
        )
        limits = [limit * torch.finfo(dtype).eps for limit in LIMITS[dtype]]
        right = results <= limits[0] and grads <= limits[1]  # not so if one is NaN
        ways = ", ".join(sorted({way for _, _, way in found.values()}))
        each = "; ".join(f"{case}: {one:.1e}, {other:.1e}" for case, (one, other, _) in found.items())
        beyond = f"wrong numbers: more than {limits[0]:.0e}, or of gradients {limits[1]:.0e}, is no rounding: {each}"
        text = f"largest error {results:.1e}, of gradients {grads:.1e}; by {ways}"
        yield Finding(name, text if right else beyond, not right)


def computed_types(device: torch.device) -> list[torch.dtype]:
    """Types that the device multiplies by itself."""
    if device.type == "cpu":
        return [torch.float32, torch.bfloat16]
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return [torch.float32, torch.float16]
    return list(LIMITS)


def errors(device: torch.device, engine: Any, dtype: torch.dtype, case: Case) -> tuple[float, float, str]:
    """Largest error of results, in training and in evaluation, and of gradients, and what computed the block.

    Args:
        device: where it is computed.
        engine: name of the engine.
        dtype: float32, or that of autocast.
        case: tokens and windows.

    Raises:
        ValueError: the engine refuses the block.
    """
    plain, x = block_of(case), torch.randn(IMAGES, *case.grid, HEADS * WIDTH, generator=seeded())
    grad = torch.randn(x.shape, generator=seeded(1))
    wanted = outcome(copy.deepcopy(plain).double(), x.double(), grad.double(), cut_on(case, torch.device("cpu")), None)
    block, windows = use_engine(plain.to(device), engine), cut_on(case, device)
    there = x.to(device)
    ours = outcome(block, there, grad.to(device), windows, dtype)
    with torch.inference_mode(), rounding(device, dtype):
        way = explain(block.eval(), there, windows).removeprefix(": ")
        evaluated = optimize_for_inference(block)(there, windows)
    result = largest(apart(evaluated, wanted[0]), apart(ours[0], wanted[0]))
    parameters = [length(one, other) for one, other in zip(ours[2:], wanted[2:], strict=True)]
    return result, largest(apart(ours[1], wanted[1]), *parameters), way


def outcome(block: nn.Module, x: Tensor, grad: Tensor, windows: Windows, dtype: torch.dtype | None) -> list[Tensor]:
    """Result of a block, gradient of its tokens, and gradients of its parameters.

    Args:
        block: the block.
        x: tokens.
        grad: gradient of the result.
        windows: of the grid.
        dtype: of autocast; float32 or None for none.
    """
    x = x.detach().requires_grad_()
    with rounding(x.device, dtype):
        result = block(x, windows)
    grads = torch.autograd.grad(result, [x, *block.parameters()], grad.to(result.dtype))
    return [result.detach(), *grads]


def rounding(device: torch.device, dtype: torch.dtype | None) -> Any:
    """Autocast to a type of 16 bits; nothing for others."""
    return nullcontext() if dtype in (None, torch.float32) else torch.autocast(device.type, dtype)


def block_of(case: Case) -> Block:
    """A block whose weights all matter."""
    block = Block(HEADS * WIDTH, HEADS, case.window, 4.0, 0.0, extra_norm=False, checkpointing=False)
    generator = seeded(2)
    for name, weight in block.named_parameters():
        if "logit_scale" not in name:
            nn.init.normal_(weight, std=0.2, generator=generator)
    return block


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of the same numbers each time."""
    return torch.Generator().manual_seed(seed)


def cut_on(case: Case, device: torch.device) -> Windows:
    """The windows of a case on a device."""
    return cut(case.grid, case.window, case.shifted, device)


def largest(*numbers: float) -> float:
    """The largest number; NaN if one is."""
    return float(torch.tensor(numbers, dtype=torch.float64).max())


def apart(one: Tensor, other: Tensor) -> float:
    """Largest distance of two tokens, against the mean length of the second ones."""
    one, other = (x.double().cpu().flatten(0, -2) for x in (one, other))
    return float((one - other).norm(dim=-1).max() / other.norm(dim=-1).mean())


def length(one: Tensor, other: Tensor) -> float:
    """Length of a difference, against that of the second."""
    one, other = one.double().cpu(), other.double().cpu()
    return float((one - other).norm() / other.norm())
