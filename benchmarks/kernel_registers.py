"""What the compiler makes of the GPU kernels, without a GPU: registers, spilled bytes and shared memory of each."""

import contextlib
import io
import multiprocessing
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.timing import table

RESULT = Path(__file__).with_suffix(".md")
SPILLED = 32  # bytes of a thread that no kernel exceeds
CARDS = {  # threads, programs and bytes of shared memory of a multiprocessor, and bytes for one program
    80: (2048, 32, 167936, 166912),
    86: (1536, 16, 102400, 101376),
    89: (1536, 24, 102400, 101376),
    90: (2048, 32, 233472, 232448),
    100: (2048, 32, 233472, 232448),
    120: (1536, 24, 102400, 101376),
}


class Compiled(NamedTuple):
    """A kernel as compiled.

    Attributes:
        name: of the kernel.
        capability: what it was compiled for.
        registers: of a thread.
        spilled: bytes that a thread writes for want of registers.
        shared: bytes of shared memory.
        warps: groups of 32 threads of a program.
    """

    name: str
    capability: int
    registers: int
    spilled: int
    shared: int
    warps: int

    def programs(self) -> int:
        """How many run on a multiprocessor at a time; 0 where none can."""
        threads, programs, shared, of_one = CARDS[self.capability]
        registers = -(-self.registers // 8) * 8 * 32 * self.warps
        fitting = min(threads // (32 * self.warps), programs, 65536 // registers, shared // (self.shared + 1024))
        return fitting if self.shared <= of_one else 0


class Pretended:
    """What Triton asks of a driver before it compiles, for a card that is not there."""

    def __init__(self, capability: int):
        self.capability = capability

    def get_current_device(self) -> int:
        """Each capability has its own cache in Triton."""
        return self.capability

    def get_current_stream(self, device: int) -> int:
        """The default one."""
        return 0

    def get_current_target(self) -> Any:
        """What is compiled for."""
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self.capability, 32)


@contextlib.contextmanager
def compiling(capability: int) -> Iterator[list[Compiled]]:
    """Have kernels compiled as they are started, and not run; a list of what came of it.

    Triton keeps the pretended card, so this needs a process that runs no kernels.
    """
    from triton.runtime.driver import driver
    from triton.runtime.jit import JITFunction

    found: list[Compiled] = []
    run = JITFunction.run

    def compiled(kernel: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        log = io.StringIO()
        with contextlib.redirect_stdout(log):
            made = run(kernel, *args, grid=grid, warmup=True, **options)
        registers, spilled = (re.search(x, log.getvalue()) for x in (r"Used (\d+)", r"(\d+) bytes spill stores"))
        if registers is not None and spilled is not None:  # else this process has compiled it before
            name = f"{kernel.fn.__module__.rpartition('.')[2]}.{kernel.fn.__name__}"
            numbers = int(registers[1]), int(spilled[1]), made.metadata.shared, made.metadata.num_warps
            found.append(Compiled(name, capability, *numbers))

    os.environ |= {"TRITON_DUMP_PTXAS_LOG": "1", "TRITON_ALWAYS_COMPILE": "1"}
    JITFunction.run = compiled
    driver.set_active(Pretended(capability))
    try:
        yield found
    finally:
        JITFunction.run = run


def start_attention(window: Sequence[int], dtype: torch.dtype, width: int = 32, wants_bias: bool = True) -> None:
    """Start the kernels of both passes for two windows, with tensors that have no numbers."""
    from swinv2.engines.gpu.kernels import launch

    with torch.device("meta"):
        qkv = torch.empty(2, *window, 3, 3, width, dtype=dtype)
        slots = qkv[0, ..., 0, 0, 0].numel()
        scale, bias = torch.empty(3), torch.empty(3, slots, slots)
        starts = [torch.empty(2, dtype=torch.int32) for _ in window]
    context, lse = launch.forward(qkv, scale, bias, starts, window)
    launch.backward(context, qkv, scale, bias, context, lse, starts, window, wants_bias)


def start_norm(channels: int) -> None:
    """Start the kernels of both passes of a branch's end, under autocast to bfloat16, with stochastic depth."""
    from swinv2.engines.gpu.kernels import norm_launch

    with torch.device("meta"):
        x, branch = torch.empty(2, 64, channels), torch.empty(2, 64, channels, dtype=torch.bfloat16)
        weight, factors = torch.empty(channels), torch.empty(2)
    norm_launch.add_norm(x, branch, weight, weight, factors, 1e-5)
    norm_launch.add_norm_backward(x, branch, weight, factors, 1e-5)


class Case(NamedTuple):
    """What kernels are started for.

    Attributes:
        window: slots along each axis; of the end of a branch, its channels.
        numbers: their type; `TF32` for float32 that may be rounded to it.
        width: channels of a head; 0 for the end of a branch.
        wants_bias: whether the position bias is trained.
    """

    window: tuple[int, ...]
    numbers: str
    width: int = 32
    wants_bias: bool = True

    def __str__(self) -> str:
        if self.width == 0:
            return f"{self.window[0]} channels, {self.numbers}"
        heads = f", heads of {self.width}" if self.width != 32 else ""
        return f"{' × '.join(map(str, self.window))}, {self.numbers}{heads}{'' if self.wants_bias else ', bias fixed'}"

    def start(self) -> None:
        """Start its kernels."""
        torch.set_float32_matmul_precision("high" if self.numbers == "TF32" else "highest")
        if self.width == 0:
            start_norm(*self.window)
        else:
            dtype = torch.float32 if self.numbers == "TF32" else getattr(torch, self.numbers)
            start_attention(self.window, dtype, self.width, self.wants_bias)


SMALL = [(4, 4), (6, 6), (7, 7), (8, 8)]
LARGE = [(12, 12), (13, 13), (16, 16), (24, 24), (32, 32), (40, 40), (48, 48)]
CLIPS = [(8, 7, 7), (16, 7, 7), (8, 16, 16), (8, 20, 20)]
TYPES = ["bfloat16", "float16", "float32", "TF32"]
CASES = [
    *(Case(window, numbers) for numbers in TYPES for window in [*SMALL, *LARGE, *CLIPS]),
    *(Case(window, numbers, wants_bias=False) for numbers in TYPES[:3] for window in [(7, 7), (8, 8)]),
    *(Case(window, numbers, 64) for numbers in TYPES[:2] for window in [(8, 8), (8, 7, 7)]),
    *(Case((channels,), "bfloat16", 0) for channels in (96, 768, 1536, 8192)),
]


def sweep(capability: int, cases: Sequence[Case] = CASES) -> dict[tuple[str, str], Compiled]:
    """All kernels for a capability, by their names and the first case for which each is compiled."""
    kernels = {}
    for case in cases:
        with compiling(capability) as found:
            case.start()
        kernels |= {(made.name, str(case)): made for made in found}
    return kernels


def report(kernels: dict[int, dict[tuple[str, str], Compiled]]) -> str:
    """The table and how it came about."""
    rows = [
        [f"`{name}`", case, *(cell(kernels[capability][name, case]) for capability in kernels)]
        for name, case in next(iter(kernels.values()))
    ]
    header = ["kernel", "first compiled for", *(f"sm_{capability}" for capability in kernels)]
    return (
        f"# What the compiler makes of the GPU kernels\n\n{table(header, rows)}\n\n"
        "Registers of a thread / spilled bytes of a thread / KiB of shared memory / programs that a multiprocessor\n"
        "runs at a time, all by the compiler alone. A kernel stands once, with the first window that needs it: those\n"
        "of more than 64 slots share theirs. `python -m benchmarks.kernel_registers`, Triton "
        f"{version('triton')}, {date.today()}.\n"
    )


def cell(made: Compiled) -> str:
    """Registers, spills, shared memory and programs."""
    return f"{made.registers} / {made.spilled} / {made.shared / 1024:.0f} / {made.programs()}"


def main() -> None:
    """Compile all for every capability, print the table and write it."""
    os.environ["TRITON_CACHE_DIR"] = tempfile.mkdtemp()
    with multiprocessing.get_context("spawn").Pool(min(len(CARDS), os.cpu_count() or 1)) as pool:
        kernels = dict(zip(CARDS, pool.map(sweep, CARDS, chunksize=1), strict=True))
    text = report(kernels)
    print(text)
    RESULT.write_text(text)
    worst = max((made.spilled for of_one in kernels.values() for made in of_one.values()), default=0)
    if worst > SPILLED or not all(made.programs() for of_one in kernels.values() for made in of_one.values()):
        sys.exit(f"a kernel spills {worst} bytes of a thread, or runs on no card of its capability; at most {SPILLED}")


if __name__ == "__main__":
    main()
