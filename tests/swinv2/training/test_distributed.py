"""What the processes of a run put together."""

import torch

from swinv2.training.distributed import LongBarrier, gather, mean_over_processes

SCRIPT = """
import os
import torch
from torch import distributed
from swinv2.training.distributed import gather, mean_over_processes
rank = int(os.environ["LOCAL_RANK"])
distributed.init_process_group("gloo", rank=rank, world_size=2)
weight = torch.ones((), requires_grad=True)
found = mean_over_processes({"loss": weight * rank, "train/a": torch.tensor(4.0 * rank)})
if rank == 0:
    print({name: float(value) for name, value in found.items()}, found["loss"].requires_grad, gather(rank))
else:
    gather(rank)
"""


def test_one_process_is_its_own_mean():
    """Without gradients, in the order given."""
    found = mean_over_processes({"b": torch.tensor(2.0, requires_grad=True), "a": torch.tensor(3.0)})
    assert list(found.items()) == [("b", torch.tensor(2.0)), ("a", torch.tensor(3.0))]
    assert not found["b"].requires_grad
    assert gather("x") == ["x"]


def test_two_processes(run_code):
    """What is logged is the mean of both, not the first one's."""
    assert run_code(SCRIPT, processes=2) == ([0, 0], "{'loss': 0.5, 'train/a': 2.0} False [0, 1]\n")


RENDEZVOUS = """
import os, time
from datetime import timedelta
import torch
from torch import distributed
from swinv2.training.distributed import LongBarrier

rank, patience = int(os.environ["LOCAL_RANK"]), timedelta(seconds=1)
distributed.init_process_group("gloo", rank=rank, world_size=2, timeout=patience)
barrier = LongBarrier()
if rank:
    time.sleep(2)
barrier.wait()
total = torch.tensor(rank + 1)
distributed.all_reduce(total)
os.write(1, f"{total.item()}\\n".encode())
"""


def test_longer_than_collectives_wait(run_code):
    """A process that is later than the time after which collectives give up is waited for."""
    assert run_code(RENDEZVOUS, processes=2) == ([0, 0], "3\n3\n")


def test_longer_than_collectives_wait_is_too_long_for_them(run_code):
    """Without the barrier, the process that waits gives up."""
    codes, said = run_code(RENDEZVOUS.replace("barrier.wait()", ""), processes=2)
    assert codes[0] == 1 and "imed out" in said


def test_alone():
    """A single process does not wait."""
    LongBarrier().wait()
