"""The first process of a run, which starts one for each further device: when it is killed, these end, too."""

import os
import sys
import threading
import time

STARTER = "SWINV2_STARTER"  # in the environment of a process: the number of the first one
GRACE = 10.0  # seconds; a first process that has come to its end is followed by the others


def end_with_starter() -> None:
    """Have this process end when that which started it is gone, and those that it starts when it is gone itself.

    Waiting for a first process that was killed, PyTorch would give up after half an hour.
    """
    from ..files.whole import is_running  # takes its time to import, which Ctrl-C may end

    starter = int(os.environ.get(STARTER, 0))
    os.environ[STARTER] = str(os.getpid())
    started = "LOCAL_RANK" in os.environ and starter and (starter == os.getppid() or not is_running(starter))
    if started:
        threading.Thread(target=_watch, args=(starter,), daemon=True).start()


def _watch(starter: int) -> None:
    while os.getppid() == starter:
        time.sleep(1)
    time.sleep(GRACE)
    print(f"error: The first process of this run ({starter}) is gone, and so this one ends, too.", file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)
