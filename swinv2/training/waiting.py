"""Waiting for other processes for longer than their collectives do."""

from datetime import timedelta

from torch import distributed

LONGEST = timedelta(weeks=1)


class Meeting:
    """Where all processes wait for each other before they exchange results.

    A trainer's collectives give up after half an hour, but one process may have a film of hours left when the others
    have none. If one process ends early, the others do not wait for it. A single process never waits.

    It is made by all processes, at about the same time.
    """

    def __init__(self) -> None:
        self._group = None
        if distributed.is_available() and distributed.is_initialized():
            self._group = distributed.new_group(timeout=LONGEST, backend="gloo")

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self._group is not None:
            distributed.barrier(self._group)  # type: ignore[arg-type]
