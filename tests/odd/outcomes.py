"""What becomes of many made inputs, most of them wrong: right results, clear errors, or faults."""

import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

COUNT = int(os.environ.get("SWINV2_ODD_INPUTS", "40"))  # inputs a kind; 2000 for a full run
LIMIT = 20  # seconds for one input
FAULTS = ("traceback", "hang", "silent change")


def try_all(make: Callable[[random.Random], Any], use: Callable[[Any], str | None], count: int = COUNT) -> Counter[str]:
    """Make inputs and use each; prints what became of them, and fails if anything is a fault.

    Args:
        make: an input from a source of random numbers.
        use: gives the input to the product. Returns None if the result is right, else what is wrong with it; raises
            ValueError or OSError, with a message that names what is wrong, for an input that is refused.
        count: how many.
    """
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    for seed in range(count):
        given = make(random.Random(seed))
        outcome, said = outcome_of(use, given)
        outcomes[outcome] += 1
        if outcome in FAULTS:
            faults.append(f"seed {seed}: {outcome}: {said}\n  {given!r:.300}")
    print(f"{count} inputs: {dict(outcomes)}")
    assert not faults, f"{len(faults)} faults of {count} inputs: {dict(outcomes)}\n" + "\n".join(faults[:8])
    return outcomes


def outcome_of(use: Callable[[Any], str | None], given: Any) -> tuple[str, str]:
    """The outcome of one input, and what was said of it."""
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    try:
        wrong = use(given)
    except Stopped:
        return "hang", f"no end within {LIMIT} s"
    except (ValueError, OSError) as error:
        return ("clear error", str(error)) if is_clear(error) else ("traceback", repr(error))
    except Exception as error:
        return "traceback", repr(error)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return ("right", "") if wrong is None else ("silent change", wrong)


def is_clear(error: Exception) -> bool:
    """Whether a message is one of ours: a sentence, not what a library says to programmers."""
    text = str(error)
    return len(text.split()) > 4 and not any(
        alien in text
        for alien in ("invalid literal", "not supported between", "object is not", "values to unpack", "broadcast")
    )


class Stopped(BaseException):
    """An input takes too long; nothing that the product catches."""


def stop(*_: Any) -> None:
    """End an input that takes too long."""
    raise Stopped
