"""GPU kernels (Triton), each beside the plain PyTorch that it must equal."""

import importlib.util

import torch

CAPABILITY = (8, 0)  # of the first GPUs with bfloat16 in their matrix units and copies that run ahead


@torch.compiler.assume_constant_result
def available(device: torch.device) -> bool:
    """Whether a device runs the kernels: a GPU by NVIDIA of the Ampere generation or later, where Triton is installed.

    Args:
        device: where the tokens are.
    """
    return (
        device.type == "cuda"
        and torch.version.hip is None
        and torch.cuda.get_device_capability(device) >= CAPABILITY
        and importlib.util.find_spec("triton") is not None
    )
