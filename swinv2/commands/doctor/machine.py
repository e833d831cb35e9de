"""Processor, memory and disk of this machine."""

import os
import platform
import shutil
from collections.abc import Iterator

import torch

from .finding import Finding

GIB = 1 << 30


def machine() -> Iterator[Finding]:
    """Processor and its vectors, memory, room for what loading processes hand over, and free space in this folder."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    instructions = torch.backends.cpu.get_cpu_capability()
    yield Finding("platform", platform.platform())
    text = f"{platform.machine()}, {cores} cores, {instructions}, {torch.get_num_threads()} threads"
    yield Finding("processor", text)
    yield Finding("free disk here", f"{shutil.disk_usage('.').free / GIB:.1f} GiB")
    if os.path.isdir("/dev/shm"):
        yield Finding("free /dev/shm", f"{shutil.disk_usage('/dev/shm').free / GIB:.1f} GiB")
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        yield Finding("memory", f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / GIB:.1f} GiB")
