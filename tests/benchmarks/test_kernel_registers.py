import pytest
import torch

from benchmarks import kernel_registers
from benchmarks.kernel_registers import CARDS, Case, Compiled


def test_registers_threads_and_shared_memory_limit_programs():
    """Whichever is used up first; none where a single one has too much shared memory."""
    assert Compiled("name", 90, 168, 0, 1024, 4).programs() == 3
    assert Compiled("name", 90, 32, 0, 1024, 4).programs() == 16
    assert Compiled("name", 86, 32, 0, 40 * 1024, 4).programs() == 2
    assert Compiled("name", 86, 32, 0, 120 * 1024, 4).programs() == 0
    assert Compiled("name", 90, 32, 0, 120 * 1024, 4).programs() == 1


def test_cases_say_what_they_are():
    """Window, type, and what else is not as usual."""
    assert str(Case((8, 7, 7), "float16")) == "8 × 7 × 7, float16"
    assert str(Case((8, 8), "bfloat16", 64, False)) == "8 × 8, bfloat16, heads of 64, bias fixed"
    assert str(Case((96,), "bfloat16", 0)) == "96 channels, bfloat16"


def test_report_has_a_column_for_each_capability(monkeypatch):
    """And a row for each kernel."""
    pytest.importorskip("triton")
    made = {("one_tile", "8 × 8, float16"): Compiled("one_tile", 80, 168, 4, 2048, 4)}
    text = kernel_registers.report(dict.fromkeys(CARDS, made))
    assert "sm_80 | sm_86 | sm_89 | sm_90 | sm_100 | sm_120" in text
    assert "| `one_tile` | 8 × 8, float16 | 168 / 4 / 2 / 3 |" in text


def test_all_types_are_swept():
    """Those of the kernels, and float32 in both precisions."""
    assert {case.numbers for case in kernel_registers.CASES} == {"bfloat16", "float16", "float32", "TF32"}
    assert all(hasattr(torch, case.numbers) for case in kernel_registers.CASES if case.numbers != "TF32")
