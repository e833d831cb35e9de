"""Items a second of a run, waiting for data included."""

from time import perf_counter


class Throughput:
    """Counter of items and a clock."""

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
