import pytest
import torch

from swinv2.commands.doctor import rates
from swinv2.commands.doctor.rates import calls_per_second, check_rates

CPU = torch.device("cpu")


def test_rates_of_this_machine(monkeypatch):
    """Memory and both types."""
    monkeypatch.setattr(rates, "SECONDS", 0.0)
    memory, products = check_rates(CPU, "cpu")
    assert memory.text.endswith("GB/s read and written by a copy")
    assert products.text.startswith("float32 ") and "bfloat16 " in products.text
    assert not memory.wrong and not products.wrong


def test_calls_are_counted_by_time(monkeypatch):
    """The first one does not count."""
    clock = iter([0.0, 0.0, 1.0, 4.0])
    monkeypatch.setattr(rates.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(rates, "SECONDS", 0.5)
    called = []
    assert calls_per_second(lambda: called.append(1), CPU) == pytest.approx(len(called[1:]) / 4)


def test_device_that_fails():
    """The error is a finding."""
    (finding,) = check_rates(torch.device("cuda:77"), "cuda:77")
    assert finding.wrong and finding.text.startswith("fails: ")
