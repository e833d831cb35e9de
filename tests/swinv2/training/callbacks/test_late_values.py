"""Numbers of a GPU that are read later."""

import pytest
import torch

from swinv2.training.callbacks.late_values import AHEAD, LateValues


@pytest.fixture
def behind(gpu, monkeypatch):
    """A pretended GPU that has done nothing before somebody waits for it; the waits."""
    waited = []
    monkeypatch.setattr(torch.cuda.Event, "query", lambda self: False)
    monkeypatch.setattr(torch.cuda.Event, "synchronize", lambda self: waited.append(1))
    return waited


def test_nobody_waits_for_the_last_ones(behind, gpu):
    """Numbers come in the order in which they were sent, when more than the allowed steps are under way."""
    late, read = LateValues(), []
    for step in range(6):
        late.send(torch.full((1,), float(step), device="cuda"), step)
        read += late.arrived()
    assert read == [([float(step)], step) for step in range(6 - AHEAD)]
    assert len(behind) == 6 - AHEAD and not gpu.waits
    assert [step for _, step in late.arrived(all_of_them=True)] == [4, 5]
