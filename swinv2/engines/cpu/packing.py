"""Products with weights in the order in which a CPU multiplies them fastest, by functions of PyTorch's for oneDNN."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Product = Callable[[Tensor], Tensor]

AVX2 = torch.backends.cpu.get_cpu_capability() == "AVX2"  # and no wider vectors, which oneDNN is made for
LARGEST_ON_HEAP = 2**25 - 2**16  # bytes: glibc never learns to take larger blocks from the heap (32 MiB, with its own)


def can_pack(dtype: torch.dtype) -> bool:
    """Whether this PyTorch has the oneDNN functions, which are not public, and the CPU multiplies in this type."""
    return (
        torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and (dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()))
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def pack(weight: Float[Tensor, "o i"]) -> Tensor | None:
    """A weight in oneDNN's order, which takes as much memory once more; None where PyTorch cannot do that."""
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None) if can_pack(weight.dtype) else None


def packed_product(packed: Tensor, bias: Float[Tensor, " o"] | None, gelu: bool = False) -> Product:
    """Function that multiplies tokens by a packed weight, adds a bias, and may take GELU of the sum."""

    def multiply(x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")

    def multiply_gelu(x: Tensor) -> Tensor:
        if AVX2:  # where oneDNN's takes longer than a pass of its own
            return torch.ops.aten.gelu_(multiply(x))
        return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "gelu", [], "none")  # exact, not by tanh

    return multiply_gelu if gelu else multiply


def product(weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None, packs: bool) -> Product:
    """Function that multiplies tokens by a weight for one pass, by oneDNN where PyTorch has that and it is the faster.

    With AVX2 alone it is not, except with weights that stay packed from pass to pass, as in evaluation.

    Args:
        weight: of a linear layer.
        bias: what is added.
        packs: whether so many tokens come that packing the weight takes less time than it saves.
    """
    if AVX2 or not (weight.device.type == "cpu" and can_pack(weight.dtype)):
        return lambda x: F.linear(x, weight, bias)
    return packed_product(torch.ops.mkldnn._reorder_linear_weight(weight, None) if packs else weight, bias)


def keep_freed_memory() -> None:
    """Have glibc keep freed memory, up to 64 MiB, for the next image: pages that are given back are cleared anew.

    The largest block that was ever freed sets its thresholds (M_MMAP_THRESHOLD in mallopt(3)); at first they are so
    low that a small image takes about a tenth longer. The block is not written to, so that it costs no memory itself.
    """
    torch.empty(LARGEST_ON_HEAP, dtype=torch.uint8, device="cpu")  # freed at once
