"""Items a second."""

import pytest

from swinv2.training.callbacks import throughput
from swinv2.training.callbacks.throughput import Throughput


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [10.0]
    monkeypatch.setattr(throughput, "perf_counter", lambda: now[0])
    return now


def test_rate_is_since_the_last_reading(clock):
    """Each reading starts a new count."""
    counter = Throughput()
    counter.items += 6
    clock[0] += 2
    assert counter.read() == 3
    counter.items += 5
    clock[0] += 1
    assert counter.read() == 5


def test_restart_forgets(clock):
    """What came before does not count, nor does its time."""
    counter = Throughput()
    counter.items += 100
    clock[0] += 50
    counter.restart()
    counter.items += 4
    clock[0] += 2
    assert counter.read() == 2


def test_no_time_at_all(clock):
    """A clock that has not moved is no error."""
    assert Throughput().read() == 0
