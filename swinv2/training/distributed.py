"""What the processes of a run have found, in one place."""

from collections.abc import Mapping
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


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
