"""A pretended GPU for tests: tensors that say `cuda:0`, compute on the CPU, and fail or count where a GPU would."""

from tests.pretended_gpu.mode import pretended_gpu
from tests.pretended_gpu.record import DeviceMismatch, Record
from tests.pretended_gpu.trainer import NAME, OPTIONS

__all__ = ["NAME", "OPTIONS", "DeviceMismatch", "Record", "pretended_gpu"]
