"""Scores of a video per second: as a table, and as a one-line summary."""

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from swinv2.training.tables import Row, write_csv
from video.inference.sliding_clips import INSTANT, WindowScores

TOLD = 8  # greatest number of stretches in a summary
REST = 0.1  # seconds that begin no new second: 5 seconds at 29.97 frames per second last a little longer than 5

Seconds = Float32[np.ndarray, "seconds k"]  # probabilities of the classes in each second of a video


class Stretch(NamedTuple):
    """Consecutive seconds with the same most probable class.

    Attributes:
        start: first second.
        end: second after the last.
        label: label of the class.
        probability: mean probability of the class.
    """

    start: int
    end: int
    label: int
    probability: float


def per_second(scores: WindowScores) -> Seconds:
    """Probabilities for each second of a video: the mean over the windows that overlap it.

    An incomplete last second counts, unless it is a rest of a tenth or less.
    """
    beginnings = np.arange(max(1, math.ceil(scores.ends[-1] - REST)))
    first = np.searchsorted(scores.ends, beginnings + INSTANT, side="right")
    after = np.searchsorted(scores.starts, beginnings + 1 - INSTANT)
    return np.stack([scores.probabilities[slice(*part)].mean(0) for part in zip(first, after, strict=True)])


def write_table(path: Path, seconds: Seconds, class_names: Sequence[str]) -> None:
    """Write a CSV file, in UTF-8: second, most probable class, its probability, and the probability of every class.

    Args:
        path: the file, in an existing folder.
        seconds: probabilities per second.
        class_names: names by label.

    Raises:
        OSError: the file cannot be written.
    """
    rows: list[Row] = [
        (second, class_names[row.argmax()], *(f"{value:.4f}" for value in (row.max(), *row)))
        for second, row in enumerate(seconds)
    ]
    write_csv(path, ("second", "class", "probability", *class_names), rows)


def stretches(seconds: Seconds) -> list[Stretch]:
    """Split a video into stretches of one class each, in order."""
    labels, found = seconds.argmax(1).tolist(), []
    for label, numbers in groupby(range(len(labels)), key=labels.__getitem__):
        part = list(numbers)
        found.append(Stretch(part[0], part[-1] + 1, label, float(seconds[part, label].mean())))
    return found


def summary(seconds: Seconds, class_names: Sequence[str]) -> str:
    """Summary in a line, e.g. "0:00-0:12 walking 93 %, 0:12-0:15 running 71 %"; of many stretches the longest."""
    every = stretches(seconds)
    longest = sorted(sorted(every, key=lambda one: one.start - one.end)[:TOLD])
    told = [
        f"{clock(one.start)}-{clock(one.end)} {class_names[one.label]} {100 * one.probability:.0f} %" for one in longest
    ]
    shorter = len(every) - len(told)
    return ", ".join(told) + (f", and {shorter} shorter" if shorter else "")


def clock(seconds: int) -> str:
    """Text of a time, as 2:05, or 1:02:05 from an hour on."""
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
