"""Scores by the second."""

import csv

import numpy as np
import pytest

from video.inference.per_second import TOLD, clock, per_second, stretches, summary, write_table
from video.inference.sliding_clips import WindowScores

NAMES = ["walking", "eating, slowly", "naïve 走る"]


def scores(starts, ends, rows):
    """Windows as arrays."""
    return WindowScores(np.array(starts, float), np.array(ends, float), np.array(rows, np.float32))


def seconds_of(labels, probability=0.9):
    """Scores by the second of which each has one probable class."""
    rows = np.full((len(labels), len(NAMES)), (1 - probability) / 2, np.float32)
    rows[np.arange(len(labels)), labels] = probability
    return rows


def test_means_by_hand():
    """A second has the mean of the windows that cover any of it; touching it at its border is not covering."""
    windows = scores([0, 1, 1.5], [2, 3, 3.5], [[1, 0], [0.5, 0.5], [0, 1]])
    expected = [[1, 0], [0.5, 0.5], [0.25, 0.75], [0, 1]]  # windows 0; 0, 1, 2; 1, 2; 2
    assert per_second(windows) == pytest.approx(np.array(expected))


@pytest.mark.parametrize(("end", "rows"), [(0.04, 1), (1.0, 1), (5.005, 5), (1.2, 2), (2.9996, 3)])
def test_number_of_seconds(end, rows):
    """A second that has begun counts, but not a small rest, unless it is all there is."""
    assert len(per_second(scores([0], [end], [[0.5, 0.5]]))) == rows


def test_borders_are_rounded():
    """Times that containers round do not let a window cover the next second."""
    windows = scores([0, 0.9997], [1.0003, 2], [[1, 0], [0, 1]])
    assert per_second(windows) == pytest.approx(np.eye(2))


def test_many_windows():
    """Every second has windows, and the same mean as if all were looked through."""
    starts = np.cumsum(np.random.default_rng(0).uniform(0.1, 1.9, 50))
    starts -= starts[0]
    windows = scores(starts, starts + 2, np.random.default_rng(1).random((50, 4)))
    for second, row in enumerate(per_second(windows)):
        covering = (windows.starts < second + 1) & (windows.ends > second)
        assert row == pytest.approx(windows.probabilities[covering].mean(0))


def test_table(tmp_path):
    """A row a second: its number, the best class with its probability, and all classes; names of any kind."""
    path = tmp_path / "scores.csv"
    write_table(path, np.array([[0.7, 0.2, 0.1], [0.1, 0.1234567, 0.7765433]], np.float32), NAMES)
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["second", "class", "probability", *NAMES],
            ["0", "walking", "0.7000", "0.7000", "0.2000", "0.1000"],
            ["1", "naïve 走る", "0.7765", "0.1000", "0.1235", "0.7765"],
        ]


def test_table_that_cannot_be_written(tmp_path):
    """A folder that cannot be made is an error with the name of the file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file.scores\.csv cannot be written"):
        write_table(tmp_path / "file" / "scores.csv", seconds_of([0]), NAMES)


def test_stretches():
    """Seconds of one class are joined, with their mean probability; a class that comes again begins anew."""
    seconds = seconds_of([1, 1, 0, 1])
    seconds[0] = [0.25, 0.5, 0.25]
    found = stretches(seconds)
    assert [one[:3] for one in found] == [(0, 2, 1), (2, 3, 0), (3, 4, 1)]
    assert [one.probability for one in found] == pytest.approx([0.7, 0.9, 0.9])


def test_summary():
    """A video in a line."""
    assert summary(seconds_of([0] * 12 + [2] * 49, 0.93), NAMES) == "0:00-0:12 walking 93 %, 0:12-1:01 naïve 走る 93 %"


def test_summary_of_many_stretches():
    """The longest are told, in order, and how many there are besides."""
    labels = [0, 1] * 10 + [2] * 5
    told = summary(seconds_of(labels), NAMES).split(", ")
    assert len(told) == TOLD + 1 + sum("eating" in one for one in told)  # whose name has a comma
    assert told[0].startswith("0:00-0:01 walking")
    assert told[-2:] == ["0:20-0:25 naïve 走る 90 %", "and 13 shorter"]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (125, "2:05"), (3599, "59:59"), (3725, "1:02:05")])
def test_clock(seconds, text):
    """Hours are told where there are any."""
    assert clock(seconds) == text
