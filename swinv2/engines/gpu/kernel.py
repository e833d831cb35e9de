"""Which kernel a block needs: what is checked, timed and remembered apart from others."""

import importlib.util
import math
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

import torch

from ...windows import Size
from .kernels.sizes import DTYPES, SLOTS, WIDTH, in_one_tile, precision

AXES = 3
CHANNELS = 8192  # that are normalised
GENERATION = 8  # Ampere, the first with bfloat16 in its matrix units
LARGE: dict[int, Size] = {1: (143,), 2: (11, 13), 3: (3, 7, 7)}  # checked for all windows of several tiles
EVEN: dict[int, Size] = {1: (144,), 2: (12, 12), 3: (3, 6, 8)}  # the same of a multiple of 16 slots, compiled apart


@dataclass(frozen=True)
class Kernel:
    """A kernel as it is compiled.

    Attributes:
        name: "attention" or "norm".
        dtypes: of queries, keys and values; or of tokens, branch and weights.
        width: channels of a head, or of a token.
        window: slots along each axis, of `LARGE` or `EVEN` for all windows that one tile does not hold; none of a norm.
        precision: of products, in Triton's words; "ieee" is exact, all else reduced for float32.
    """

    name: Literal["attention", "norm"]
    dtypes: tuple[torch.dtype, ...]
    width: int
    window: Size = ()
    precision: str = ""

    def __str__(self) -> str:
        """As a user reads it: "attention of bfloat16, 32 channels a head, window 8 × 8"."""
        types = " ".join(str(dtype).removeprefix("torch.") for dtype in dict.fromkeys(self.dtypes))
        if self.name == "norm":
            return f"norm of {types}, {self.width} channels"
        size = " × ".join(map(str, self.window))
        more = " or larger" if self.window in (*LARGE.values(), *EVEN.values()) else ""
        more += ", a multiple of 16 slots" if self.window in EVEN.values() else ""
        precision = f", products of {self.precision}" if self.dtypes == (torch.float32,) else ""
        return f"attention of {types}{precision}, {self.width} channels a head, window {size}{more}"


def attention_kernel(dtype: torch.dtype, width: int, window: Size) -> Kernel | str:
    """The kernel for such windows and heads; in words, what kernels do not take.

    Args:
        dtype: of queries, keys and values.
        width: channels of a head.
        window: slots along each axis.
    """
    slots = math.prod(window)
    if dtype not in DTYPES:
        return f"the kernels take float32, bfloat16 and float16, got {dtype}"
    limits = (
        ("axes", len(window), AXES),
        ("slots in a window", slots, SLOTS),
        ("channels a head", width, WIDTH[dtype]),
    )
    for name, given, most in limits:
        if given > most:
            return f"the kernels take at most {most} {name}, got {given}"
    checked = window if in_one_tile(slots, width) else (LARGE if slots % 16 else EVEN)[len(window)]
    return Kernel("attention", (dtype,), width, checked, precision(dtype))


def norm_kernel(x: torch.Tensor, branch: torch.Tensor, weight: torch.Tensor) -> Kernel | str:
    """The kernel that normalises a branch and adds it; in words, what it does not take."""
    dtypes = x.dtype, branch.dtype, weight.dtype
    if x.shape[-1] > CHANNELS or not {*dtypes} <= {*DTYPES}:
        given = ", ".join(str(dtype) for dtype in dict.fromkeys(dtypes))
        return f"the kernel takes at most {CHANNELS} channels in float32 or 16 bits, got {x.shape[-1]} in {given}"
    return Kernel("norm", dtypes, x.shape[-1])


@torch.compiler.assume_constant_result
def unfit(device: torch.device) -> str | None:
    """Why a device runs no kernels at all; None for a GPU by NVIDIA, from Ampere on, where Triton is installed.

    Args:
        device: where the tokens are.
    """
    if device.type != "cuda":
        return f"the tokens are on {device.type}"
    if torch.version.hip is not None:
        return "the kernels run on GPUs by NVIDIA only"
    if torch.cuda.get_device_properties(device).major < GENERATION:
        return "the kernels need a GPU of the Ampere generation or later"
    return None if importlib.util.find_spec("triton") else "Triton is not installed"


@cache
def identity(device: torch.device) -> dict[str, str]:
    """What the outcome of a check or a timing belongs to: card, driver, versions, and the text of kernels and check."""
    import triton

    card = torch.cuda.get_device_properties(device)
    here = Path(__file__).parent
    sources = here / "self_check.py", *sorted((here / "kernels").glob("*.py"))
    return {
        "card": card.name,
        "capability": f"{card.major}.{card.minor}",
        "driver": str(torch._C._cuda_getDriverVersion()) if hasattr(torch._C, "_cuda_getDriverVersion") else "",
        "torch": torch.__version__,
        "triton": triton.__version__,
        "kernels": sha256(b"".join(source.read_bytes() for source in sources)).hexdigest(),
    }
