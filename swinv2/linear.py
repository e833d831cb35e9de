"""Linear layers that can keep their weights in the order in which a CPU multiplies them fastest."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

LARGEST_ON_HEAP = 2**25 - 2**16  # bytes: glibc never learns to take larger blocks from the heap (32 MiB, with its own)


def hooked(module: nn.Module) -> bool:
    """Whether something wants to see the calls of a module, so that it must be called."""
    hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
    return any(hooks)


class Linear(nn.Linear):
    """A linear layer that may keep its weight packed for oneDNN beside itself, to evaluate on a CPU in 32 or 16 bits.

    What is packed is used as long as the weight is the one that was packed, and no gradient is asked for. Writing to
    `weight.data`, which no version counts, goes unnoticed: pack again after it.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True):
        super().__init__(in_features, out_features, bias)
        self._packed: list[Tensor] = []  # in a list: no buffer, which would be saved and moved
        self._packed_from: Tensor | None = None  # held, so that no other weight can get its place in memory
        self._packed_version = 0

    def forward(self, x: Float[Tensor, "... c"], bias: Float[Tensor, " o"] | None = None) -> Float[Tensor, "... o"]:
        """The product plus the layer's bias, or another one."""
        bias = self.bias if bias is None else bias
        return self._packed_product(x, bias, "none") if self._packed_fits(x) else F.linear(x, self.weight, bias)

    def gelu(self, x: Float[Tensor, "... c"]) -> Float[Tensor, "... o"]:
        """GELU of the layer's output, by the same kernel where the weight is packed."""
        fused = not hooked(self) and self._packed_fits(x)
        return self._packed_product(x, self.bias, "gelu") if fused else F.gelu(self(x))

    def pack(self) -> None:
        """Keep the weight packed, where PyTorch can do that; it takes as much memory once more."""
        if can_pack(self.weight.dtype) and self.weight.device.type == "cpu":
            self._packed = [torch.ops.mkldnn._reorder_linear_weight(self.weight.detach(), None)]
            self._packed_from, self._packed_version = self.weight.detach(), version(self.weight)

    def _packed_product(self, x: Tensor, bias: Tensor | None, activation: str) -> Tensor:
        kind = "none" if activation == "gelu" else ""  # of GELU: exact, not by tanh
        return torch.ops.mkldnn._linear_pointwise(x, self._packed[0], bias, activation, [], kind)

    def _packed_fits(self, x: Tensor) -> bool:
        if self._packed_from is None or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return False
        same = self._packed_from.data_ptr() == self.weight.data_ptr() and self._packed_version == version(self.weight)
        if not same:
            self._packed, self._packed_from = [], None
        return same and x.dtype == self.weight.dtype and not torch.is_autocast_enabled("cpu")

    def __getstate__(self) -> dict:
        """Copies and pickles are without what is packed."""
        return super().__getstate__() | {"_packed": [], "_packed_from": None}


def version(weight: Tensor) -> int:
    """How often a weight was written to, as far as PyTorch counts that."""
    return 0 if weight.is_inference() else weight._version


def can_pack(dtype: torch.dtype) -> bool:
    """Whether this PyTorch has the oneDNN functions, which are not public, and the CPU multiplies in this type."""
    return (
        torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and (dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()))
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def optimize_for_inference(model: nn.Module) -> nn.Module:
    """Prepare a model for evaluation on a CPU, in float32 or bfloat16: its linear layers run about a tenth faster.

    To be called when the weights are loaded. Weights that change later are used as they are, at the usual speed; but
    writing to `weight.data` goes unnoticed, call this again after it. Where PyTorch has no means for it, or the model
    is elsewhere, it only switches to evaluation. On Linux the process keeps up to 64 MiB of freed memory from now on.

    Args:
        model: that holds a backbone; changed in place.

    Returns:
        The model.
    """
    for module in model.eval().modules():
        if isinstance(module, Linear):
            module.pack()
    keep_freed_memory()
    return model


def keep_freed_memory() -> None:
    """Have glibc keep freed memory, up to 64 MiB, for the next image: pages that are given back are cleared anew.

    The largest block that was ever freed sets its thresholds (M_MMAP_THRESHOLD in mallopt(3)); at first they are so
    low that a small image takes about a tenth longer. The block is not written to, so that it costs no memory itself.
    """
    torch.empty(LARGEST_ON_HEAP, dtype=torch.uint8, device="cpu")  # freed at once
