import pytest
import torch

from benchmarks import backbone, comparison, memory, training
from benchmarks.comparison import COMPILED, Row, multiplies, suffix, times
from benchmarks.peers import Work
from benchmarks.results import keep

ROW = Row(Work("swinv2_tiny_window8_256", 8, 8, 256, 256), torch.float32, eager=0.58, compiled=0.70)
MS = {"timm": 840.0, "transformers": 800.0, "ours": 400.0}


def test_ratio_is_to_the_fastest_peer():
    """The best of the eager peers counts, and compiled timm by itself, where it was timed."""
    found = {"ms": MS, "limit": {"ms": 350.0, "GFLOP/s": 226.0}}
    start = ["T, batch 8", "840", "800", "–", "400", "0.50 (goal 0.58)"]
    names = ["timm", "transformers", COMPILED, "ours"]
    assert times("T", ROW, found, names, "cpu") == [*start, "–", "350", "226"]
    found["ms"] = MS | {COMPILED: 500.0}
    assert times("T", ROW, found, names, "cpu")[5:7] == ["0.50 (goal 0.58)", "0.80 (goal 0.70)"]


@pytest.mark.parametrize("module", [backbone, training])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_report_has_every_row(module, device):
    """Rows that were measured stand in the tables, with what each of the models has."""
    rows = module.ROWS[device]
    errors = {"timm": (1e-6, 1e-7), "ours": (2e-6, 2e-7)}
    measured = {
        "ms": MS,
        "limit": {"ms": 350.0, "GFLOP/s": 226.0, "traffic ms": 3.0},
        "kept": MS,
        "errors": errors,
        "from timm": (3e-6, 3e-7),
        "rounds": 3,
    }
    text = module.report(rows, dict.fromkeys(rows, measured), device)
    assert all(f"| {name}" in text for name in rows)
    assert "| 2.0e-06 (rms 2.0e-07) |" in text
    assert "medians of 3 rounds" in text


def test_results_of_different_kinds_of_machines_have_files_of_their_own(monkeypatch):
    """A laptop's run does not write over that of a server, nor over a GPU's."""
    monkeypatch.setattr(comparison, "AVX2", True)
    assert (suffix("cpu"), suffix("cuda")) == ("_avx2", "_gpu")
    monkeypatch.setattr(comparison, "AVX2", False)
    assert (suffix("cpu"), suffix("cuda")) == ("", "_gpu")


def test_types_that_a_cpu_has_no_products_in_are_left_out(monkeypatch):
    """Their time would say nothing."""
    monkeypatch.setattr(comparison, "can_pack", lambda dtype: False)
    assert multiplies(torch.float32)
    assert not multiplies(torch.bfloat16)


def test_memory_report_compares_with_the_best_peer():
    """Ours is given in multiples of the best peer's, and steps in multiples of our fastest."""
    peak = {
        "timm": [1300.0, 2.0],
        "transformers": [1400.0, 1.6],
        "ours": [650.0, 1.2],
        "ours, checkpointing": [130.0, 0.4],
    }
    row = next(iter(memory.TRAINED))
    found = {row: {"memory": peak, "seconds": {"ours": 2.0, "ours, checkpointing": 2.4}, "rounds": 3}}
    found |= {name: {"timm": 2.0, "transformers": 4.0, "ours": 0.5} for name in memory.INFERRED}
    text = memory.report(found)
    assert f"| {row} | ours, checkpointing | 130 | 0.10 (goal 0.12) | 0.40 | 0.25 | 1.20 |" in text
    assert "| 2.00 | 4.00 | 0.50 | 0.25 |" in text


def test_parts_of_a_day_join(tmp_path, monkeypatch):
    """Rows of another run stay as long as machine and day are the same."""
    monkeypatch.setattr("benchmarks.results.machine", lambda: "one")
    keep("test", {"a": 1, "b": 2}, tmp_path)
    assert keep("test", {"b": 3}, tmp_path) == {"a": 1, "b": 3}
    monkeypatch.setattr("benchmarks.results.machine", lambda: "another")
    assert keep("test", {"c": 4}, tmp_path) == {"c": 4}
