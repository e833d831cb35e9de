"""Waiting for other processes."""

from swinv2.training.waiting import Meeting

SCRIPT = """
import os, time
from datetime import timedelta
import torch
from torch import distributed
from swinv2.training.waiting import Meeting

rank, patience = int(os.environ["LOCAL_RANK"]), timedelta(seconds=1)
distributed.init_process_group("gloo", rank=rank, world_size=2, timeout=patience)
meeting = Meeting()
if rank:
    time.sleep(2)
meeting.wait()
total = torch.tensor(rank + 1)
distributed.all_reduce(total)
os.write(1, f"{total.item()}\\n".encode())
"""


def test_longer_than_collectives_wait(run_code):
    """A process that is later than the time after which collectives give up is waited for."""
    assert run_code(SCRIPT, processes=2) == ([0, 0], "3\n3\n")


def test_longer_than_collectives_wait_is_too_long_for_them(run_code):
    """Without a meeting, the process that waits gives up."""
    codes, said = run_code(SCRIPT.replace("meeting.wait()", ""), processes=2)
    assert codes[0] == 1 and "imed out" in said


def test_alone():
    """A single process does not wait."""
    Meeting().wait()
