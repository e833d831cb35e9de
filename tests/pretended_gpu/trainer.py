"""The pretended GPU as a device of Lightning's trainer, by `OPTIONS` of the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.accelerators import Accelerator, AcceleratorRegistry
from lightning.pytorch.strategies import SingleDeviceStrategy, StrategyRegistry

from tests.pretended_gpu.tensor import CUDA

NAME = "pretended_gpu"
OPTIONS = ("--trainer.accelerator", NAME, "--trainer.strategy", NAME)


class PretendedGPU(Accelerator):
    """The accelerator: one device, always there, that needs no setup."""

    def setup_device(self, device: torch.device) -> None:
        """Do nothing."""

    def teardown(self) -> None:
        """Do nothing."""

    @staticmethod
    def parse_devices(devices: Any) -> int:
        """One device, whatever is asked for."""
        return 1

    @staticmethod
    def get_parallel_devices(devices: Any) -> list[torch.device]:
        """The device."""
        return [CUDA]

    @staticmethod
    def auto_device_count() -> int:
        """One."""
        return 1

    @staticmethod
    def is_available() -> bool:
        """True."""
        return True

    @staticmethod
    def name() -> str:
        """Name in the registry."""
        return NAME


@contextmanager
def in_lightning() -> Iterator[None]:
    """Let Lightning know the pretended GPU within a `with` statement."""
    AcceleratorRegistry.register(NAME, PretendedGPU)
    StrategyRegistry.register(NAME, SingleDeviceStrategy, device=CUDA)
    try:
        yield
    finally:
        AcceleratorRegistry.remove(NAME)
        StrategyRegistry.remove(NAME)
