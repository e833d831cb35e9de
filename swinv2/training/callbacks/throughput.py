"""How many items a run gets through in a second, the time that it waits for data included."""

from time import perf_counter


class Throughput:
    """A counter and a clock."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Count anew from now on."""
        self.items = 0
        self.since = perf_counter()

    def read(self) -> float:
        """Items a second since the counter was restarted or last read."""
        rate = self.items / max(perf_counter() - self.since, 1e-9)
        self.restart()
        return rate
