"""What Triton's interpreter does not see: whether its compiler takes the kernels, for which no GPU is needed."""

import os
import subprocess
import sys

import pytest

COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from swinv2.engines.gpu import attention_backward, attention_forward, norm_kernels

SIXTEEN_BITS = {"qkv", "context", "grad", "grad_qkv", "branch", "grad_branch"}
INTEGERS = {"slots", "windows", "heads", "rows", "tokens", "pair"}

def signature(kernel, constants):
    types = {}
    for name in kernel.arg_names:
        if name in constants:
            types[name] = "constexpr"
        elif name == "eps":
            types[name] = "fp32"
        elif name in INTEGERS or name.startswith(("count", "size")):
            types[name] = "i32"
        else:
            types[name] = "*i32" if name.startswith("starts") else "*bf16" if name in SIXTEEN_BITS else "*fp32"
    return types

def compiled(kernel, capability, **constants):
    constants = {name: value for name, value in constants.items() if name in kernel.arg_names}
    source = ASTSource(kernel, signature(kernel, constants), constants)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 4}).asm["cubin"]

clip = {"AXES": 3, "WINDOW2": 7, "WINDOW3": 7, "D": 32, "DEPTH": 32, "ROWS": 64, "COLUMNS": 32}
line = clip | {"AXES": 1, "WINDOW2": 1, "count1": 1, "count2": 1, "size1": 1, "size2": 1, "windows": 1, "heads": 1}
norm = {"KEEP": True, "C": 96, "WIDTH": 128, "ROWS": 16}
"""
ATTENTION = [
    "attention_forward.one_tile",
    "attention_forward.two_windows",
    "attention_backward.one_tile",
    "attention_backward.grad_queries",
    "attention_backward.grad_keys",
    "attention_backward.grad_position_bias",
]
CALLS = [
    *(f"{kernel}, 90, **clip" for kernel in ATTENTION),
    "attention_forward.two_windows, 80, **line",
    "attention_backward.one_tile, 80, **line",
    "norm_kernels.forward, 80, **norm",
    "norm_kernels.backward, 80, **norm",
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """An empty folder for what is compiled."""
    return tmp_path_factory.mktemp("triton")


@pytest.mark.parametrize("half", [0, 1])
def test_kernels_compile(half, cache, interpreted):
    """The compiler makes machine code for the A100 and the H100 of all kernels, windows of one and of three axes."""
    calls = "".join(f"assert compiled({call})\n" for call in CALLS[half::2])
    environment = os.environ | {"TRITON_CACHE_DIR": str(cache), "TRITON_INTERPRET": "0"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILE + calls],
        capture_output=True,
        text=True,
        env=environment,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
