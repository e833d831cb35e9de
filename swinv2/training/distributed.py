"""Exchange between the processes of a run: gathering, means, waiting for each other."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

LONGEST = timedelta(weeks=1)  # longest wait for a process


def gather(part: T) -> list[T]:
    """Values of all processes, by rank; all of them have to call this.

    Args:
        part: value of this process.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return [part]
    parts = [part] * dist.get_world_size()
    dist.all_gather_object(parts, part)
    return parts


def mean_over_processes(figures: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Means over all processes of a step's figures, without gradients; all processes have to call this.

    Args:
        figures: scalars by name, on one device; the same names in every process.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return {name: figure.detach() for name, figure in figures.items()}
    values = torch.stack([figure.detach().float() for figure in figures.values()])
    dist.all_reduce(values)
    values /= dist.get_world_size()
    return dict(zip(figures, values.unbind(), strict=True))


class LongBarrier:
    """Barrier at which all processes wait for each other before they exchange results.

    A trainer's collectives time out after half an hour, but one process may have hours of video left when the others
    are done. If one process dies, the others do not wait for it. A single process never waits.

    All processes must create it, at about the same time.
    """

    def __init__(self) -> None:
        self._group = None
        if dist.is_available() and dist.is_initialized():
            self._group = dist.new_group(timeout=LONGEST, backend="gloo")

    def wait(self) -> None:
        """Return when all processes have called this."""
        if self._group is not None:
            dist.barrier(self._group)  # type: ignore[arg-type]
