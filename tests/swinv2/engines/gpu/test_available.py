import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from swinv2.engines import gpu as kernels

GPU = torch.device("cuda", 0)


@pytest.fixture
def machine(monkeypatch):
    """Pretends to have a GPU."""

    def pretend(major, triton=True, hip=None):
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=major))
        monkeypatch.setattr(kernels, "TRITON", triton)
        monkeypatch.setattr(torch.version, "hip", hip)

    return pretend


def test_kernels_need_a_gpu():
    """The CPU has its own ways."""
    assert not kernels.available(torch.device("cpu"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"major": 9}, True),
        ({"major": 8}, True),
        ({"major": 7}, False),
        ({"major": 9, "triton": False}, False),
        ({"major": 9, "hip": "6.4"}, False),
    ],
)
def test_kernels_need_ampere_and_triton(machine, given, expected):
    """Older GPUs, those of other makers, and machines without Triton compute plainly."""
    machine(**given)
    assert kernels.available(GPU) is expected


def test_importing_swinv2_does_not_import_triton():
    """Nobody waits for a compiler that is not used."""
    code = "import sys, torch; old = {*sys.modules}; import swinv2; sys.exit('triton' in {*sys.modules} - old)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=120).returncode == 0
