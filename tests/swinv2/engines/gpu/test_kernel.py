import math
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from swinv2.engines.gpu import kernel
from swinv2.engines.gpu.kernel import attention_kernel, norm_kernel, unfit

GPU = torch.device("cuda", 0)


@pytest.fixture
def machine(monkeypatch):
    """Pretends to have a GPU."""

    def pretend(major, triton=True, hip=None):
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=major))
        monkeypatch.setattr(kernel.importlib.util, "find_spec", lambda name: triton or None)
        monkeypatch.setattr(torch.version, "hip", hip)

    return pretend


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"major": 9}, None),
        ({"major": 8}, None),
        ({"major": 7}, "the kernels need a GPU of the Ampere generation or later"),
        ({"major": 9, "triton": False}, "Triton is not installed"),
        ({"major": 9, "hip": "6.4"}, "the kernels run on GPUs by NVIDIA only"),
    ],
)
def test_kernels_need_ampere_and_triton(machine, given, expected):
    """Older GPUs, those of other makers, and machines without Triton have PyTorch's operators."""
    machine(**given)
    assert unfit(GPU) == expected
    assert unfit(torch.device("cpu")) == "the tokens are on cpu"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((torch.float32, 32, (65, 64)), "the kernels take at most 4096 slots in a window, got 4160"),
        ((torch.float32, 33, (8, 8)), "the kernels take at most 32 channels a head, got 33"),
        ((torch.bfloat16, 65, (8, 8)), "the kernels take at most 64 channels a head, got 65"),
        ((torch.float32, 32, (2, 2, 2, 2)), "the kernels take at most 3 axes, got 4"),
        ((torch.float64, 32, (8, 8)), "the kernels take float32, bfloat16 and float16, got torch.float64"),
    ],
)
def test_what_kernels_do_not_take(given, expected):
    """What is too large or of another type is named."""
    assert attention_kernel(*given) == expected


def test_kernels_that_are_compiled_apart():
    """Each small window, large ones by whether slots are a multiple of 16; float32 by the precision of its products."""
    small, other = (attention_kernel(torch.bfloat16, 32, window) for window in ((7, 7), (8, 8)))
    assert small != other
    assert str(small) == "attention of bfloat16, 32 channels a head, window 7 × 7"
    large = {attention_kernel(torch.bfloat16, 32, window) for window in ((12, 12), (24, 24), (9, 40), (9, 9))}
    name = "attention of bfloat16, 32 channels a head, window"
    expected = [f"{name} 11 × 13 or larger", f"{name} 12 × 12 or larger, a multiple of 16 slots"]
    assert sorted(map(str, large)) == expected
    for axes in (1, 2, 3):
        assert [math.prod(checked[axes]) % 16 == 0 for checked in (kernel.LARGE, kernel.EVEN)] == [False, True]
    highest = attention_kernel(torch.float32, 32, (8, 8))
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        assert attention_kernel(torch.float32, 32, (8, 8)) != highest
    finally:
        torch.set_float32_matmul_precision(before)


def test_what_the_norm_takes():
    """Types are those of tokens, branch and weights."""
    x, weight = torch.zeros(2, 96), torch.ones(96)
    assert str(norm_kernel(x, x.bfloat16(), weight)) == "norm of float32 bfloat16, 96 channels"
    assert norm_kernel(x, x.double(), weight).endswith("got 96 in torch.float32, torch.float64")
    assert "at most 8192 channels" in norm_kernel(torch.zeros(1, 8193), torch.zeros(1, 8193), torch.ones(8193))


def test_what_outcomes_belong_to(monkeypatch):
    """Card, driver, versions, and the text of all kernels."""
    pytest.importorskip("triton")
    card = SimpleNamespace(name="a card", major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    found = kernel.identity.__wrapped__(GPU)
    assert found["card"] == "a card"
    assert found["capability"] == "9.0"
    assert found["torch"] == torch.__version__
    monkeypatch.setattr(kernel.Path, "read_bytes", lambda path: b"other")
    assert kernel.identity.__wrapped__(GPU)["kernels"] != found["kernels"]


def test_importing_swinv2_does_not_import_triton():
    """Nobody waits for a compiler that is not used."""
    code = "import sys, torch; old = {*sys.modules}; import swinv2; sys.exit('triton' in {*sys.modules} - old)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=120).returncode == 0
