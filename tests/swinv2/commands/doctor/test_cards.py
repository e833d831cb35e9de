"""Cards that stand in for real ones: PyTorch and the driver are asked, and their answers made."""

import shutil
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from swinv2.commands.doctor import cards as module
from swinv2.commands.doctor.cards import cards

SMI = "| NVIDIA-SMI 535.1   Driver Version: 535.104.05   CUDA Version: {}     |"


def card(name, major=8, minor=0):
    """Properties of a card."""
    return SimpleNamespace(
        name=name, major=major, minor=minor, total_memory=80 << 30, multi_processor_count=108, gcnArchName="gfx942"
    )


@pytest.fixture
def found(monkeypatch):
    """Lines about cards, by name, and those that are wrong."""

    def found(seen=(), driver=None, cuda="13.0", hip=None, warning=None, kfd=False, kinds=("sm_80", "sm_90")):
        def available():
            if warning:
                warnings.warn(warning, stacklevel=1)
            return bool(seen)

        monkeypatch.setattr(torch.cuda, "is_available", available)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(seen))
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: seen[i])
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: list(kinds))
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.version, "hip", hip)
        monkeypatch.setattr(shutil, "which", lambda name: name if driver else None)
        monkeypatch.setattr(module, "answer", lambda *command: "H100\n" if len(command) > 1 else SMI.format(driver))
        monkeypatch.setattr(Path, "exists", lambda path: kfd)
        lines = list(cards())
        return {line.name: line.text for line in lines}, [line.text for line in lines if line.wrong]

    return found


def test_no_card(found):
    """A machine without one is all right."""
    lines, wrong = found(cuda=None)
    assert lines == {"cards": "0, PyTorch is built for the CPU alone"} and wrong == []


def test_a_card(found):
    """Name, memory, capability, and the driver."""
    lines, wrong = found([card("A100")], "13.0")
    assert lines["card 0"] == "A100, 80.0 GiB, sm_80, 108 multiprocessors" and wrong == []
    assert lines["driver"] == "535.104.05, runs CUDA 13.0 at most"


def test_two_different_cards(found):
    """Both are listed, and what it means to train on both."""
    lines, wrong = found([card("A100"), card("H100", 9)], "13.0")
    assert "card 1" in lines and "waits for the slowest" in lines["different cards"] and wrong == []
    assert "different cards" not in found([card("A100"), card("A100")], "13.0")[0]


def test_old_driver(found):
    """PyTorch sees nothing, nvidia-smi does: a later driver or an earlier CUDA."""
    _, wrong = found(driver="12.2", warning="CUDA initialization: The NVIDIA driver on your system is too old")
    assert wrong == [
        "the driver runs CUDA 12.2 at most, PyTorch needs 13.0: install a later driver, or PyTorch for CUDA 12.2 or "
        "earlier, see pytorch.org/get-started"
    ]


def test_pytorch_for_the_cpu(found):
    """A card needs a PyTorch that is built for it."""
    assert "the driver knows H100, but PyTorch is not built for CUDA" in found(driver="12.8", cuda=None)[1][0]


def test_hidden_card(found, monkeypatch):
    """A variable hides it."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "unset CUDA_VISIBLE_DEVICES" in found(driver="13.0")[1][0]


def test_driver_that_is_out_of_order(found, monkeypatch):
    """What PyTorch says is passed on."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "cannot use it (CUDA unknown error)" in found(driver="13.0", warning="CUDA unknown error\nmore")[1][0]
    assert found(warning="No CUDA GPUs")[1] == ["PyTorch says: No CUDA GPUs"]


def test_card_of_another_make(found):
    """AMD's needs a PyTorch for ROCm; with it the card is described by its own kind."""
    assert "install one that is" in found(kfd=True)[1][0]
    lines, wrong = found([card("MI300X")], cuda=None, hip="6.4", kfd=True, kinds=("gfx942",))
    assert "gfx942" in lines["card 0"] and wrong == []


def test_card_that_pytorch_has_no_code_for(found):
    """Older than all, or newer than all; one of the same generation runs what an earlier one does."""
    assert "no code for sm_61" in found([card("P40", 6, 1)])[1][0]
    assert "no code for sm_120" in found([card("5090", 12, 0)])[1][0]
    assert found([card("A10", 8, 6)])[1] == []
    assert found([card("5090", 12, 0)], kinds=("sm_90", "compute_90"))[1] == []


def test_answers_of_programs(monkeypatch):
    """One that is missing or fails has none."""
    assert module.answer("false") == module.answer("no-such-program") == ""
    assert module.answer("echo", "a") == "a\n"
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(module, "answer", lambda *command: "No devices were found")
    assert module.nvidia_driver() is None
