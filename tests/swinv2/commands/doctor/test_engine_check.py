"""Engines that are right, wrong, refuse, or fail."""

import pytest
import torch

from swinv2.commands.doctor import engine_check
from swinv2.commands.doctor.engine_check import CASES, check_engine, computed_types, errors, largest
from swinv2.engines.cpu.engine import CpuEngine

CPU = torch.device("cpu")


@pytest.fixture
def one_case(monkeypatch):
    """Windows of one kind."""
    monkeypatch.setattr(engine_check, "CASES", CASES[:1])


@pytest.mark.parametrize("engine", ["cpu", "plain"])
def test_right_engine(engine, one_case):
    """Both types are within rounding, and it is told what computed."""
    found = list(check_engine(CPU, engine, "here"))
    assert [finding.name for finding in found] == ["here, float32", "here, bfloat16"]
    assert not any(finding.wrong for finding in found)
    assert all(f"by {engine}" in finding.text for finding in found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fault", ["one token", "not a number", "gradients"])
def test_wrong_engine(fault, dtype, one_case, monkeypatch):
    """One token of all, a NaN, and gradients alone are found."""
    right = CpuEngine.__call__

    def wrong(self, block, x, windows):
        result = right(self, block, x, windows)
        if fault == "gradients":
            return result.detach() + 1.5 * (result - result.detach())
        spoilt = torch.zeros_like(result)
        spoilt[-1, -1, -1, 3] = 1 if fault == "one token" else torch.nan
        return result + spoilt

    monkeypatch.setattr(CpuEngine, "__call__", wrong)
    monkeypatch.setattr(engine_check, "computed_types", lambda device: [dtype])
    (finding,) = check_engine(CPU, "cpu", "here")
    assert finding.wrong and finding.text.startswith("wrong numbers")


def test_engine_that_refuses(one_case):
    """Its reason is told, and is nothing wrong."""
    finding, _ = check_engine(CPU, "gpu", "here")
    assert "the engine gpu cannot compute a block: the tokens are on cpu" in finding.text
    assert not finding.wrong


def test_engine_that_fails(one_case, monkeypatch):
    """As where no compiler is found."""

    def fail(self, block, x, windows):
        raise RuntimeError("Failed to find C compiler.\nSet CC")

    monkeypatch.setattr(CpuEngine, "__call__", fail)
    finding, _ = check_engine(CPU, "cpu", "here")
    assert finding.wrong and finding.text == "fails: RuntimeError: Failed to find C compiler."


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rounding_of_each_case(case):
    """The plain form itself is within the limits."""
    result, grad, _ = errors(CPU, "plain", torch.float32, case)
    assert 0 < result < 1e-6 and 0 < grad < 1e-5


def test_types_of_a_card(monkeypatch):
    """Those before Ampere have no bfloat16."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert computed_types(torch.device("cuda")) == [torch.float32, torch.float16]


def test_nan_is_the_largest():
    """Wherever it stands."""
    assert largest(1.0, float("nan"), 2.0) != largest(1.0, float("nan"), 2.0)
