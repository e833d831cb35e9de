"""Runs code in processes that are copies of this one, which has imported what `swinv2` commands need.

Each line of its input is one `run` with its arguments in JSON, each of its output the exit codes.
"""

import atexit
import gc
import json
import os
import signal
import socket
import sys
import traceback
from importlib import import_module

from lightning.fabric.utilities.rank_zero import rank_zero_only
from torch.utils.tensorboard import SummaryWriter  # noqa: F401 - a run would import it

from swinv2.commands.tasks import TASKS


def run(code, folder, said, processes, timeout):
    """Exit codes of processes, below zero where a signal was the end.

    Args:
        code: Python; a `SystemExit` sets the exit code.
        folder: to run in.
        said: file for what the processes say.
        processes: how many; several know each other by their environment, as if a launcher had started them.
        timeout: seconds; with several, one may wait for ever.
    """
    children = []
    for environment in environments(processes):
        child = os.fork()
        if not child:
            become(code, folder, said, environment, timeout)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def environments(processes):
    """What a launcher tells each process: which one it is, and where they meet."""
    if processes == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    return [meeting | {"WORLD_SIZE": str(processes), "LOCAL_RANK": str(rank)} for rank in range(processes)]


def become(code, folder, said, environment, timeout):
    """Turn this process into one that runs code, and end with it."""
    os.setsid()  # a signal to all processes of the code is to end no others
    signal.alarm(timeout)
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.chdir(folder)
    os.environ.update(environment)
    rank_zero_only.rank = int(environment.get("LOCAL_RANK", 0))  # as read at its import
    status = 0
    try:
        exec(code, {})
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(status)  # at once: to take the interpreter apart takes as long as a small run


if __name__ == "__main__":
    for module, _ in TASKS.values():
        if module.endswith(".cli"):
            import_module(module)
    gc.freeze()  # so that copies share the memory
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)
