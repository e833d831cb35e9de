"""Processes that were started by one that is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

SECOND = """
import os, time
from swinv2.commands import first_process
first_process.GRACE = 0
first_process.end_with_starter()
os.write(1, f"{os.getpid()}\\n".encode())
time.sleep(60)
"""
FIRST = f"""
import os, subprocess, sys, time
from swinv2.commands.first_process import end_with_starter
end_with_starter()
subprocess.Popen([sys.executable, "-c", {SECOND!r}], env=os.environ | {{"LOCAL_RANK": "1"}})
time.sleep(60)
"""


def test_second_process_ends_with_the_first():
    """Killed, the first one takes along those that it started; they say why they end."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONWARNINGS": "ignore"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen([sys.executable, "-c", FIRST], **pipes) as first:
        assert int(first.stdout.readline())  # the second one is there
        first.send_signal(signal.SIGKILL)
        _, said = first.communicate(timeout=30)  # until the second one has closed its output, too
    assert said == f"error: The first process of this run ({first.pid}) is gone, and so this one ends, too.\n"
