"""What a pretended GPU notes: waits, copies, operators without a kernel and float64, each by its place."""

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
OWN = str(Path(__file__).parent)
LIBRARIES = ("lightning", "torchmetrics", "torchvision")  # whose lines are named, too


class DeviceMismatch(RuntimeError):
    """Error for an operator whose tensors are partly on the CPU and partly on the GPU."""


@dataclass
class Record:
    """Counts of what a GPU does not like, by operator and place.

    Attributes:
        waits: the host waits for the GPU: a copy to the host, or a result whose size depends on numbers.
        copies: from the host to the GPU, for whose end the host waits, as they are not `non_blocking`.
        host_only: operators that only a CPU has.
        float64: results in double precision.
        switched_on: whether anything is noted.
    """

    waits: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    host_only: Counter[str] = field(default_factory=Counter)
    float64: Counter[str] = field(default_factory=Counter)
    switched_on: bool = True

    def note(self, counts: Counter[str], what: str) -> None:
        """Count something at the present place."""
        if self.switched_on:
            counts[f"{what} at {place()}"] += 1

    def clear(self) -> None:
        """Forget all counts."""
        for counts in (self.waits, self.copies, self.host_only, self.float64):
            counts.clear()


def place() -> str:
    """Innermost line of this project that is running, after the libraries' lines that it called; three at most."""
    found: list[str] = []
    frame = sys._getframe(2)
    while frame is not None and len(found) < 3:
        name = frame.f_code.co_filename
        of_project = name.startswith(str(ROOT)) and not name.startswith(OWN)
        if of_project or any(f"/{library}/" in name for library in LIBRARIES):
            short = name.removeprefix(f"{ROOT}/") if of_project else name.rpartition("site-packages/")[2]
            found.append(f"{short}:{frame.f_lineno}")
        if of_project:
            break
        frame = frame.f_back
    return " < ".join(found) or "?"
