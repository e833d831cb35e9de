"""Numbers of a GPU that are read some steps later, when they have arrived, so that nobody waits for them."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

Note = TypeVar("Note")

AHEAD = 2  # steps that the host may be ahead of the numbers it has read


class LateValues(Generic[Note]):
    """Queue of numbers on their way from a GPU, each with a note of the step that they belong to."""

    def __init__(self) -> None:
        self.coming: deque[tuple[Tensor, torch.cuda.Event, Note]] = deque()

    def send(self, values: Float[Tensor, " n"], note: Note) -> None:
        """Start to copy numbers to the host.

        Args:
            values: on a GPU.
            note: comes back with them.
        """
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        host.copy_(values, non_blocking=True)
        arrival = torch.cuda.Event()
        arrival.record()
        self.coming.append((host, arrival, note))

    def arrived(self, all_of_them: bool = False) -> Iterator[tuple[list[float], Note]]:
        """Numbers that are there, first sent first; waits only for those that are more than `AHEAD` steps old.

        Args:
            all_of_them: wait for all.
        """
        while self.coming:
            host, arrival, note = self.coming[0]
            if all_of_them or len(self.coming) > AHEAD:
                arrival.synchronize()
            elif not arrival.query():
                return
            self.coming.popleft()
            yield host.tolist(), note
