"""What the processes of a run have found, in one place."""

from typing import TypeVar

import torch.distributed as dist

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
