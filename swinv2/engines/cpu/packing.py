"""Linear layers that can keep their weights in the order in which a CPU multiplies them fastest."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Value = TypeVar("Value")

AVX2 = torch.backends.cpu.get_cpu_capability() == "AVX2"  # and no wider vectors, which oneDNN is made for


class Kept(Generic[Value]):
    """What was computed from weights, to evaluate with as long as they are the same; copies and pickles are empty.

    Writing to `weight.data`, which no version counts, goes unnoticed.
    """

    def __init__(self) -> None:
        self._value: Value | None = None
        self._weights: list[Tensor] = []  # held, so that no others can get their places in memory
        self._marks: list[tuple[int, int]] = []

    def keep(self, value: Value, weights: Sequence[Tensor]) -> None:
        """Keep a value that was computed from these weights."""
        self._value, self._weights = value, [weight.detach() for weight in weights]
        self._marks = [mark(weight) for weight in weights]

    def get(self, weights: Sequence[Tensor]) -> Value | None:
        """The value; None where there is none, where a gradient may be asked for, or where the weights changed."""
        if self._value is None or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return None
        if [mark(weight) for weight in weights] != self._marks:
            self._value, self._weights = None, []
        return self._value

    def __reduce__(self) -> tuple:
        return Kept, ()


def hooked(module: nn.Module) -> bool:
    """Whether something wants to see the calls of a module, or does other than its class, so that it must be called."""
    hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
    return any(hooks) or "forward" in module.__dict__


class Linear(nn.Linear):
    """A linear layer that may keep its weight packed for oneDNN beside itself, to evaluate on a CPU in 32 or 16 bits.

    What is packed is used as long as the weight is the one that was packed, and no gradient is asked for. Writing to
    `weight.data`, which no version counts, goes unnoticed: pack again after it.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True):
        super().__init__(in_features, out_features, bias)
        self._packed: Kept[Tensor] = Kept()

    def forward(self, x: Float[Tensor, "... c"], bias: Float[Tensor, " o"] | None = None) -> Float[Tensor, "... o"]:
        """The product plus the layer's bias, or another one."""
        bias = self.bias if bias is None else bias
        packed = self._packed_for(x)
        return F.linear(x, self.weight, bias) if packed is None else _product(x, packed, bias)

    def gelu(self, x: Float[Tensor, "... c"]) -> Float[Tensor, "... o"]:
        """GELU of the layer's output, written over it or by the same kernel where the weight is packed."""
        packed = None if hooked(self) else self._packed_for(x)
        return F.gelu(self(x)) if packed is None else _gelu_of_product(x, packed, self.bias)

    def pack(self) -> None:
        """Keep the weight packed, where PyTorch can do that; it takes as much memory once more."""
        if can_pack(self.weight.dtype) and self.weight.device.type == "cpu":
            packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach(), None)
            self._packed.keep(packed, [self.weight])

    def product(self, bias: Float[Tensor, " o"] | None, gelu: bool = False) -> Callable[[Tensor], Tensor]:
        """What multiplies by the weight that is packed now, whatever becomes of the weight, and adds a bias."""
        packed = cast(Tensor, self._packed.get([self.weight]))
        return partial(_gelu_of_product if gelu else _product, packed=packed, bias=bias)

    def is_packed(self) -> bool:
        """Whether the weight that is packed is still the layer's; without gradients."""
        return self._packed.get([self.weight]) is not None

    def _packed_for(self, x: Tensor) -> Tensor | None:
        weight = self.weight
        packed = self._packed.get([weight])
        return None if x.dtype != weight.dtype or torch.is_autocast_enabled("cpu") else packed


def _product(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


def _gelu_of_product(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    if AVX2:  # where oneDNN's takes longer than a pass of its own
        return torch.ops.aten.gelu_(_product(x, packed, bias))
    return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "gelu", [], "none")  # exact, not by tanh


def mark(weight: Tensor) -> tuple[int, int]:
    """Where a weight is in memory, and how often it was written to, as far as PyTorch counts that."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version


def can_pack(dtype: torch.dtype) -> bool:
    """Whether this PyTorch has the oneDNN functions, which are not public, and the CPU multiplies in this type."""
    return (
        torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and (dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()))
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )
