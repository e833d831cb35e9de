"""GPU kernels (Triton), each beside the plain PyTorch that it must equal."""

import importlib.util

import torch

TRITON = importlib.util.find_spec("triton") is not None
GENERATION = 8  # Ampere, the first with bfloat16 in its matrix units


def available(device: torch.device) -> bool:
    """Whether a device runs the kernels: a GPU by NVIDIA, of the Ampere generation or later, where Triton is installed.

    Args:
        device: where the tokens are.
    """
    if device.type != "cuda" or not TRITON or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_properties(device).major >= GENERATION  # torch.compile knows that this is constant
