"""Functions run in processes of their own, whose findings arrive one by one, so that none is lost by what ends them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from .finding import Finding

SECONDS = 240.0  # that a process may take; kernels are compiled in it
MARK = "swinv2-doctor "  # begins the lines that are findings, as libraries print, too


def tell(findings: Iterable[Finding]) -> None:
    """Print findings for the process that started this one."""
    for finding in findings:
        print(f"{MARK}{json.dumps(finding)}", flush=True)


def findings_of(
    function: str,
    arguments: Sequence[str],
    label: str,
    environment: Mapping[str, str] = {},
    seconds: float = SECONDS,
    folder: Path | None = None,
) -> Iterator[Finding]:
    """What a function tells in a process of its own, as it comes, and how the process ended if not well.

    Args:
        function: MODULE:NAME.
        arguments: of the function.
        label: name of the finding about the process' end.
        environment: variables of the process beside those of this one.
        seconds: that it may take.
        folder: that it runs in.
    """
    module, name = function.split(":")
    code = f"import sys; sys.path[:] = {sys.path}; from {module} import {name}; {name}(*sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    start, clock = time.monotonic(), threading.Timer(seconds, process.kill)
    clock.start()
    errors: list[str] = []
    listener = threading.Thread(target=lambda: errors.extend(process.stderr or ()))
    listener.start()
    try:
        for line in process.stdout or ():
            if line.startswith(MARK):
                yield Finding(*json.loads(line.removeprefix(MARK)))
        listener.join()
        process.wait()
        late = time.monotonic() - start >= seconds
    finally:  # also where nobody wants to hear more
        clock.cancel()
        process.kill()
        listener.join()
        with process:  # closes its pipes
            pass
    if process.returncode:
        yield Finding(label, ending(process.returncode, late, seconds, errors), wrong=True)


def ending(code: int, late: bool, seconds: float, errors: Sequence[str]) -> str:
    """How a process ended that did not end well.

    Args:
        code: its exit code.
        late: whether it took too long.
        seconds: that it had.
        errors: lines that it said.
    """
    if late:
        return f"not done after {seconds:.0f} seconds, and was ended"
    end = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    last = next((line.strip() for line in reversed(errors) if line.strip()), "")
    return f"{end}, what comes before it was found first{f': {last}' if last else ''}"
