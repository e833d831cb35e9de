"""Message for an exception of a command: advice for the user, or a request to report a bug of swinv2."""

import re
import traceback
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = ("swinv2", "detection", "segmentation", "video")  # of this project
GIVEN = (ValueError, OSError, ImportError)  # raised for wrong input of the user
OUTSIDE = (OSError, ImportError)  # a subset that Python itself may raise for wrong input, e.g. a missing file
IN_WORKER = re.compile(r"Caught (\w+) in .+?\nOriginal (Traceback .*)\Z", re.DOTALL)
FRAME = re.compile(r'^ +File "(.+?)", line (\d+), in .+(?:\n +(.+))?', re.MULTILINE)
MESSAGE = re.compile(r"^[\w.]+: (.*)\Z", re.MULTILINE | re.DOTALL)
FAULT = (
    "This looks like a fault of swinv2, not of what you gave it. Please report it with the output of `swinv2 doctor` "
    "and of this command with SWINV2_DEBUG=1 in front, which shows the whole traceback."
)
MEMORY = "A smaller data.batch_size, smaller images or trainer.precision bf16-mixed need less."
LIBRARIES = {  # patterns of messages whose cause is outside of the program, and advice
    r"out of memory|can't allocate memory|Unable to allocate|Cannot allocate memory|STATUS_ALLOC_FAILED": MEMORY,
    r"DataLoader worker \(pid.*\) (is killed|exited)": (
        "A process that loads data was killed, as the system does where memory is short. Take fewer data.num_workers "
        "(0 loads in the training process) or a smaller data.batch_size; in a container give more memory and more "
        "/dev/shm (docker run --shm-size 8g). A training goes on with --ckpt_path last."
    ),
    r"shared memory|shm_open|bus error": (
        "The processes that load data have no room to hand over batches: give more /dev/shm (docker run --shm-size "
        "8g), or take fewer data.num_workers (0 needs none)."
    ),
    r"Too many open files|0 items of ancdata": "Raise the limit (ulimit -n 65536), or take fewer data.num_workers.",
    r"address already in use|EADDRINUSE|client socket has (failed|timed out)": (
        "The processes of a run meet at MASTER_ADDR and MASTER_PORT: give all the same address, which each can reach, "
        "and a port that is free."
    ),
    r"required to override the `configure_model": (
        "The models of this project cannot say yet how they are sharded (FSDP2): give --trainer.strategy ddp, and "
        "checkpointing of the backbone where memory is short."
    ),
    r"gloo|NCCL|TCPStore|recvValue|sendBytes": (
        "Another process of this run has ended, so this one ends, too. What that one said is the cause; if it said "
        "nothing, it was killed, as the system does where memory is short. A training goes on with --ckpt_path last."
    ),
}


class Step(NamedTuple):
    """Frame of a traceback: file, line number, and the line's code if known."""

    file: Path
    line: int
    code: str

    @property
    def ours(self) -> bool:
        """Whether the file belongs to this project."""
        return self.file.is_relative_to(ROOT) and self.file.relative_to(ROOT).parts[0] in PACKAGES

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT) if self.ours else self.file}:{self.line}"


def describe(error: Exception) -> str:
    """Message for an exception: the problem and advice, or the place of a probable bug in swinv2.

    Args:
        error: raised by a command, or passed on from a data loading process.
    """
    name, text, steps = _raised(error)
    ours = bool(steps) and steps[-1].ours
    if isinstance(error, GIVEN) and ours and steps[-1].code.startswith("raise"):
        return text
    first = (text.strip() or ("no memory is left" if name == "MemoryError" else "no message")).splitlines()[0]
    for said, remedy in LIBRARIES.items():
        if re.search(said, "out of memory" if name == "MemoryError" else text, re.IGNORECASE):
            notes = getattr(error, "__notes__", []) if name == "OutOfMemoryError" else []  # of `MemoryReport`
            return "\n  ".join([first, *(notes or [remedy])])
    if isinstance(error, OUTSIDE) or (isinstance(error, GIVEN) and not ours):
        return text
    place = next((f", at {step}" for step in reversed(steps) if step.ours), "")
    return f"{name}: {first}{place}\n  {FAULT}"


def _raised(error: BaseException) -> tuple[str, str, list[Step]]:
    """Type, message and frames of an exception; for one from a data loading process, those in its message."""
    while error.__cause__ is not None and str(error.__cause__) == str(error):  # an error raised again as another type
        error = error.__cause__
    if match := IN_WORKER.search(str(error)):
        last = match[2].rpartition("Traceback (most recent call last):")[2]  # tracebacks of its causes come first
        frames, message = FRAME.findall(last), MESSAGE.search(last)
        return match[1], message[1].strip() if message else "", [Step(Path(f), int(n), code) for f, n, code in frames]
    frames = traceback.extract_tb(error.__traceback__)
    return type(error).__name__, str(error), [Step(Path(f.filename), f.lineno or 0, f.line or "") for f in frames]
