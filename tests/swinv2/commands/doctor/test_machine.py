import torch

from swinv2.commands.doctor.machine import machine


def test_processor_memory_and_disk():
    """They are there, with their units."""
    found = {finding.name: finding.text for finding in machine()}
    assert torch.backends.cpu.get_cpu_capability() in found["processor"]
    assert found["free disk here"].endswith(" GiB")
