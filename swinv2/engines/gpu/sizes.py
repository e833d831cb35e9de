"""How the kernels' work is shared out: estimates for an H100 from what the compiler says, not yet measured.

In 16 bit, tiles of 64 × 32 scores leave the kernels for large windows without spilled registers (170 to 213 a thread,
two or three programs of 4 warps on a multiprocessor); 64 × 64 would spill. Loads that run ahead (`stages`) would there
take tiles of the bias along, which costs 70 registers more. In float32 there are no matrix units to feed, and 8 warps
share the registers of a tile.
"""

import functools
import math
from dataclasses import dataclass

import torch

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SLOTS = 4096  # of the largest window
WIDTH = 128  # channels of the widest head
SMALL = 64  # slots of the largest window that one tile holds
WAVES = 4  # programs for each multiprocessor
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


def tile(slots: int, width: int, dtype: torch.dtype) -> Tile:
    """The tile for windows of so many slots and heads of so many channels."""
    single = dtype == torch.float32
    wide = 2 if single or width > 32 else 1
    if slots <= SMALL:
        side = power_of_two(slots)
        return Tile(side, side, side // 16 * wide, 1 if single else 2)
    return Tile(32 if single and width > 32 else 64, 32, 4 * wide, 1)


def power_of_two(number: int) -> int:
    """The next one, and at least 16, the shortest side that matrix units take."""
    return max(16, 1 << (number - 1).bit_length())


def programs(items: int, beside: int, device: torch.device) -> int:
    """How many programs share so many items, each the same number of them as far as possible.

    Args:
        items: what is shared.
        beside: programs that there are for each of these.
        device: a GPU, or the CPU where kernels are interpreted.
    """
    processors = torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1
    rounds = math.ceil(items / max(WAVES * processors // beside, 1))
    return math.ceil(items / max(rounds, 1))


def sums(shared: int, numbers: int) -> int:
    """How many programs share what one sum of so many numbers is of, so that all their sums fit into memory."""
    return max(min(shared, SUMS // numbers), 1)


def promoted(*tensors: torch.Tensor) -> torch.dtype:
    """The type of what is computed from tensors of several types."""
    return functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
