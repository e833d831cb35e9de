"""What the kernels take, and how their work is shared out: by what the compiler says, not yet measured on a GPU.

Tiles are chosen so that no kernel leaves more than a few numbers of a thread outside of its registers on any GPU from
Ampere on (benchmarks/kernel_registers.md). In 16 bit that is 64 × 32 scores for large windows; TF32 and wider heads
need twice the registers for a row, and have half the columns. Loads that run ahead (`stages`) would there take tiles of
the bias along, which costs 70 registers more. Without matrix units, 8 warps share the registers of a tile.
"""

import functools
import math
from dataclasses import dataclass

import torch

SLOTS = 4096  # of the largest window
WIDTH = {torch.float32: 32, torch.bfloat16: 64, torch.float16: 64}  # channels of the widest head, in each type
DTYPES = tuple(WIDTH)
SMALL = 64  # slots of the largest window that one tile holds
NARROW = 32  # channels of the widest head of such a window
WAVES = 12  # programs for each multiprocessor: whole rounds of the 1, 2, 3 or 4 that it runs at a time
SUMMED = 4  # the same where each program writes as much as a tile of sums: rounds of the 1, 2 or 4 of those kernels
SUMS = 2**26  # numbers that programs write as their sums for the gradient of a bias: 256 MiB


@dataclass(frozen=True)
class Tile:
    """A tile of scores.

    Attributes:
        rows: slots of the side that a program owns.
        columns: slots of the side that it goes through.
        warps: groups of 32 threads of a program.
        stages: tiles that are in flight at a time, of which one is used.
    """

    rows: int
    columns: int
    warps: int
    stages: int


def in_one_tile(slots: int | torch.SymInt, width: int | torch.SymInt) -> bool:
    """Whether a tile holds a whole window of so many slots, with heads of so many channels."""
    return bool(slots <= SMALL and width <= NARROW)


def tile(slots: int, width: int, dtype: torch.dtype, products: str) -> Tile:
    """The tile for windows of so many slots and heads of so many channels, with such a `precision`."""
    if in_one_tile(slots, width):
        side = power_of_two(slots)
        return Tile(side, side, side // 8, 1) if products == "ieee" else Tile(side, side, side // 16, 2)
    if products == "ieee":
        return Tile(64, 32, 8, 1)
    return Tile(64, 32 if width * dtype.itemsize <= 64 else 16, 4, 1)


def precision(dtype: torch.dtype) -> str:
    """How numbers are multiplied, in Triton's words: float32 as `torch.set_float32_matmul_precision` says of matrices.

    All of 16 bits are multiplied in matrix units, which is `tf32` here.
    """
    if dtype != torch.float32:
        return "tf32"
    try:
        highest = torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # it was set by PyTorch's newer names, of which the older ones know nothing
        highest = torch.backends.cuda.matmul.fp32_precision != "tf32"
    return "ieee" if highest else "tf32"


def power_of_two(number: int) -> int:
    """The next one, and at least 16, the shortest side that matrix units take."""
    return max(16, 1 << (number - 1).bit_length())


def programs(items: int, beside: int, device: torch.device, waves: int = WAVES) -> int:
    """How many programs share so many items, each the same number of them as far as possible.

    Args:
        items: what is shared.
        beside: programs that there are for each of these.
        device: a GPU, or the CPU where kernels are interpreted.
        waves: programs for each multiprocessor.
    """
    rounds = math.ceil(items / most_programs(beside, device, waves))
    return math.ceil(items / max(rounds, 1))


def most_programs(beside: int, device: torch.device, waves: int = WAVES) -> int:
    """How many programs share any number of items; arguments as those of `programs`."""
    return max(waves * processors(device) // beside, 1)


def processors(device: torch.device) -> int:
    """Multiprocessors of a GPU; one for the CPU."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def sums(shared: int, numbers: int) -> int:
    """How many of `shared` programs there are if each writes a sum of so many numbers, within `SUMS` of all."""
    return max(min(shared, SUMS // numbers), 1)


def promoted(*tensors: torch.Tensor) -> torch.dtype:
    """The type of what is computed from tensors of several types."""
    return functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
