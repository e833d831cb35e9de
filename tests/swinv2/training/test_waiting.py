"""Waiting for other processes."""

import os
import subprocess
import sys
from pathlib import Path

from swinv2.training.waiting import Meeting

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys, time
from datetime import timedelta
from pathlib import Path
import torch
from torch import distributed
from swinv2.training.waiting import Meeting

rank, folder, patience = int(sys.argv[1]), Path(sys.argv[2]), timedelta(seconds=3)
(folder / str(rank)).touch()
while not (folder / str(1 - rank)).exists():  # importing takes the one longer than the other
    time.sleep(0.01)
distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2, timeout=patience)
meeting = Meeting()
if rank:
    time.sleep(5)
meeting.wait()
total = torch.tensor(rank + 1)
distributed.all_reduce(total)
print(total.item())
"""


def test_longer_than_collectives_wait(tmp_path):
    """A process that is later than the time after which collectives give up is waited for."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT]
    both = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    ends = [process.communicate(timeout=60) for process in both]
    assert [said for said, _ in ends] == ["3\n", "3\n"], ends


def test_alone():
    """A single process does not wait."""
    Meeting().wait()
