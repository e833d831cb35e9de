"""Processes of a run: what they have found in one place, and waiting for each other."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

LONGEST = timedelta(weeks=1)  # that one process is waited for


def gather(part: T) -> list[T]:
    """The part of every process, by rank; all of them have to call this.

    Args:
        part: that of this process.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return [part]
    parts = [part] * dist.get_world_size()
    dist.all_gather_object(parts, part)
    return parts


def mean_over_processes(figures: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The mean over all processes of figures of a step, without gradients; all of them have to call this.

    Args:
        figures: scalars by name, on one device; the same names in every process.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return {name: figure.detach() for name, figure in figures.items()}
    values = torch.stack([figure.detach().float() for figure in figures.values()])
    dist.all_reduce(values)
    values /= dist.get_world_size()
    return dict(zip(figures, values.unbind(), strict=True))


class Meeting:
    """Where all processes wait for each other before they exchange results.

    A trainer's collectives give up after half an hour, but one process may have a film of hours left when the others
    have none. If one process ends early, the others do not wait for it. A single process never waits.

    It is made by all processes, at about the same time.
    """

    def __init__(self) -> None:
        self._group = None
        if dist.is_available() and dist.is_initialized():
            self._group = dist.new_group(timeout=LONGEST, backend="gloo")

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self._group is not None:
            dist.barrier(self._group)  # type: ignore[arg-type]
