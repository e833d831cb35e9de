"""How the kernels' work is shared out: estimates for an H100 from what the compiler says, not yet measured.

In 16 bit with tiles of 64 × 32 scores no kernel for large windows takes more than 222 registers a thread (the forward
one 151), so that two or three programs of 4 warps run on a multiprocessor; tiles of 64 × 64 would spill. In float32
there are no matrix units to feed, and 8 warps share the registers of a tile.
"""

import math
from dataclasses import dataclass

import torch

SMALL = 64  # slots of the largest window that one tile holds
WAVES = 4  # programs for each multiprocessor


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
    wide = 2 if single or width > 64 else 1
    stages = 1 if single else 2
    if slots <= SMALL:
        side = power_of_two(slots)
        return Tile(side, side, side // 16 * wide, stages)
    if single and width > 32:
        return Tile(32, 32, 8, stages)
    return Tile(64, 64 if single else 32, 4 * wide, stages)


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
    return math.ceil(items / rounds)
