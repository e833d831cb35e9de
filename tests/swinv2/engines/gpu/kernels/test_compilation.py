"""What Triton's interpreter does not see: what its compiler makes of the kernels, for which no GPU is needed."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks.kernel_registers import SPILLED

COMPILE = """
import json, sys
from benchmarks.kernel_registers import Case, sweep

for capability, cases in json.loads(sys.argv[1]):
    kernels = sweep(capability, [Case(tuple(window), *rest) for window, *rest in cases])
    for (name, case), made in kernels.items():
        print(json.dumps([name, case, capability, made.spilled, made.programs()]))
"""
EVERYWHERE = [((7, 7), "bfloat16")]
CASES = {  # beside these; what comes nearest to the limits in benchmarks/kernel_registers.md
    80: [((16, 16), "TF32"), ((13, 13), "float32"), ((8, 7, 7), "bfloat16"), ((96,), "bfloat16", 0)],
    86: [((16, 7, 7), "float32")],
    89: [((7, 7), "float16")],
    90: [((8, 8), "float32"), ((13, 13), "bfloat16")],
    100: [((16, 7, 7), "float32"), ((7, 7), "float32", 32, False), ((8192,), "bfloat16", 0)],
    120: [((8, 7, 7), "TF32"), ((8, 7, 7), "bfloat16", 64)],
}


@pytest.fixture
def compiled(tmp_path, interpreted):
    """Compiles cases for capabilities in a process of its own: name, case, capability, spilled bytes, programs."""

    def compiled(cases):
        environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
        command = [sys.executable, "-W", "ignore", "-c", COMPILE, json.dumps(cases)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=400)
        assert done.returncode == 0, done.stderr[-3000:]
        return [json.loads(line) for line in done.stdout.splitlines()]

    return compiled


@pytest.mark.parametrize("capabilities", [(80, 86, 89), (90, 100, 120)])
def test_kernels_fit_every_card(capabilities, compiled):
    """Hardly a number is left outside of the registers, and a multiprocessor has the shared memory, from Ampere on."""
    kernels = compiled([(capability, EVERYWHERE + CASES[capability]) for capability in capabilities])
    assert {capability for _, _, capability, *_ in kernels} == set(capabilities)
    assert [kernel for kernel in kernels if kernel[3] > SPILLED or kernel[4] == 0] == []


def test_large_windows_share_kernels(compiled):
    """Nobody waits for a compiler at each new size of a map: two sets of four serve all, by how the bias is aligned."""
    windows = [(16, 16), (13, 13), *((height, width) for height in (9, 12, 40, 57) for width in range(8, 64, 5))]
    assert len(compiled([(90, [(window, "bfloat16") for window in windows])])) == 8
