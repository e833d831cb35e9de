"""The two halves of a block, forward and backward, over as many tokens at a time as stay in cache."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...windows import Size
from .attention import attention, attention_gradients, lengths_of
from .order import Group
from .packing import Product, packed_product, product

TOKENS_WORTH_PACKING = 4096  # from which packing a weight takes less time than it saves

Activations = dict[str, Tensor]  # what a half block computes on its way, by name


@runtime_checkable
class Layer(Protocol):
    """A linear layer in evaluation, whose output may be written over.

    Attributes:
        forward: its output.
        gelu: GELU of its output.
    """

    @property
    def forward(self) -> Product:
        """Function of tokens."""

    @property
    def gelu(self) -> Product:
        """Function of tokens."""


class GradientSum:
    """Parameters whose gradients are summed up over chunks of tokens, in float32 or better.

    Args:
        parameters: the parameters.
        wanted: whether each of them has a gradient.
    """

    def __init__(self, parameters: Sequence[Tensor], wanted: Sequence[bool]):
        self.parameters = parameters
        self.wanted = wanted
        self.sums: list[Tensor | None] = [None] * len(parameters)

    def add(self, index: int, grad: Tensor) -> None:
        """Add to the gradient of one parameter."""
        total = self.sums[index]
        if total is None:
            self.sums[index] = grad.to(torch.promote_types(grad.dtype, torch.float32))
        else:
            total += grad

    def gradients(self) -> list[Tensor | None]:
        """Gradient of each parameter, in its type; None if none is wanted."""
        pairs = zip(self.parameters, self.sums, strict=True)
        return [None if total is None else total.to(parameter.dtype) for parameter, total in pairs]


class LinearWithGrad(GradientSum):
    """A linear layer of which weight and bias are given, in training and in evaluation.

    Args:
        parameters: weight and bias.
        wanted: whether each of them has a gradient.
        dtype: in which it multiplies.
        tokens: that it will be given in all.
    """

    def __init__(self, parameters: Sequence[Tensor], wanted: Sequence[bool], dtype: torch.dtype, tokens: int):
        super().__init__(parameters, wanted)
        self.dtype = dtype
        self.weight, bias = (parameter.detach().to(dtype) for parameter in parameters)
        self._product = product(self.weight, bias, packs=tokens >= TOKENS_WORTH_PACKING)
        self._sums_transposed = self.weight.shape[0] < self.weight.shape[1]  # products with more rows are the faster

    def forward(self, x: Float[Tensor, "tokens i"]) -> Float[Tensor, "tokens o"]:
        """The output."""
        return self._product(x.to(self.dtype))

    def gelu(self, x: Float[Tensor, "tokens i"]) -> Float[Tensor, "tokens o"]:
        """GELU of the output, written over it."""
        return torch.ops.aten.gelu_(self.forward(x))

    def transposed(self, grad: Float[Tensor, "tokens o"]) -> Float[Tensor, "tokens i"]:
        """Gradient of the input."""
        return product(self.weight.mT, None, packs=False)(grad)

    def backward(self, x: Float[Tensor, "tokens i"], grad: Float[Tensor, "tokens o"]) -> None:
        """Take in the gradient of the output."""
        x, grad = x.to(self.dtype), grad.to(self.dtype)
        if self.wanted[0]:
            total, (one, other) = self.sums[0], (x, grad) if self._sums_transposed else (grad, x)
            if total is not None and total.dtype == grad.dtype:
                total.addmm_(one.mT, other)
            else:
                self.add(0, one.mT @ other)
        if self.wanted[1]:
            self.add(1, grad.sum(0, dtype=torch.promote_types(grad.dtype, torch.float32)))

    def gradients(self) -> list[Tensor | None]:
        """Gradients of weight and bias."""
        grad_weight, grad_bias = super().gradients()
        if self._sums_transposed and grad_weight is not None:
            grad_weight = grad_weight.mT.contiguous()
        return [grad_weight, grad_bias]


class PackedLinear:
    """A linear layer whose weight is packed, for evaluation.

    Args:
        packed: the weight, by `pack`.
        bias: what is added.
    """

    def __init__(self, packed: Tensor, bias: Float[Tensor, " o"] | None):
        self.forward: Product = packed_product(packed, bias)
        self.gelu: Product = packed_product(packed, bias, gelu=True)


class CalledLinear:
    """A layer in the place of a linear one, such as an adapter, for evaluation.

    Args:
        layer: what is called.
        bias: what is added to its output, if anything is.
        dtype: in which it is given tokens.
    """

    def __init__(self, layer: nn.Module, bias: Tensor | None, dtype: torch.dtype):
        self._layer, self._bias, self._dtype = layer, bias, dtype

    def forward(self, x: Float[Tensor, "tokens i"]) -> Float[Tensor, "tokens o"]:
        """The layer's output."""
        out = self._layer(x.to(self._dtype))
        return out.clone() if self._bias is None else out + self._bias.to(out.dtype)  # which may be written over

    def gelu(self, x: Float[Tensor, "tokens i"]) -> Float[Tensor, "tokens o"]:
        """GELU of the output."""
        return F.gelu(self._layer(x.to(self._dtype)))


class ResidualNorm(GradientSum):
    """`x + factor · norm(branch)`: the end of a half block.

    Args:
        parameters: weight and bias of the norm.
        wanted: whether each of them has a gradient.
        eps: of the norm.
    """

    def __init__(self, parameters: Sequence[Tensor], wanted: Sequence[bool], eps: float):
        super().__init__(parameters, wanted)
        self.eps = eps

    def forward(
        self, x: Float[Tensor, "tokens c"], branch: Float[Tensor, "tokens c"], factor: Float[Tensor, " tokens"] | None
    ) -> Float[Tensor, "tokens c"]:
        """The sum."""
        weight, bias = self.parameters
        if branch.dtype != weight.dtype:
            branch = branch.to(torch.promote_types(branch.dtype, weight.dtype))
        normed = torch.layer_norm(branch, weight.shape, weight, bias, self.eps)
        return x + normed if factor is None else torch.addcmul(x, normed, factor.unsqueeze(1).to(normed.dtype))

    def backward(
        self,
        branch: Float[Tensor, "tokens c"],
        grad: Float[Tensor, "tokens c"],
        factor: Float[Tensor, " tokens"] | None,
    ) -> Float[Tensor, "tokens c"]:
        """Gradient of the branch, in its type."""
        weight, bias = self.parameters
        given = branch.to(torch.promote_types(branch.dtype, weight.dtype))
        normed, mean, rstd = torch.native_layer_norm(given, weight.shape, weight, bias, self.eps)
        grad = grad.to(normed.dtype) if factor is None else (grad * factor.unsqueeze(1)).to(normed.dtype)
        grad_branch, *grad_parameters = torch.ops.aten.native_layer_norm_backward(
            grad, given, weight.shape, mean, rstd, weight, bias, [True, *self.wanted]
        )
        for index, grad_parameter in enumerate(grad_parameters):
            if self.wanted[index]:
                self.add(index, grad_parameter)
        return grad_branch.to(branch.dtype)


class MlpHalf:
    """`x + factor · norm(fc2(gelu(fc1(x))))`."""

    def __init__(self, fc1: LinearWithGrad, fc2: LinearWithGrad, norm: ResidualNorm):
        self.fc1, self.fc2, self.norm = fc1, fc2, norm
        self._place: Tensor | None = None

    def forward(self, x: Float[Tensor, "tokens c"], activations: Activations) -> None:
        """Compute the activations that are not there yet."""
        if "hidden" not in activations:
            activations["hidden"] = self.fc1.forward(x)
        if "mlp" not in activations:
            activations["mlp"] = self.fc2.forward(self._activated(activations["hidden"]))

    def backward(
        self,
        x: Float[Tensor, "tokens c"],
        activations: Activations,
        grad: Float[Tensor, "tokens c"],
        factor: Tensor | None,
    ) -> Float[Tensor, "tokens c"]:
        """Gradient of x, `grad` being that of the output."""
        grad_branch = self.norm.backward(activations["mlp"], grad, factor)
        hidden = activations["hidden"]
        self.fc2.backward(self._activated(hidden), grad_branch)
        grad_hidden = self.fc2.transposed(grad_branch)
        torch.ops.aten.gelu_backward.grad_input(grad_hidden, hidden, grad_input=grad_hidden)
        self.fc1.backward(x, grad_hidden)
        return grad + self.fc1.transposed(grad_hidden)

    def _activated(self, hidden: Float[Tensor, "tokens c"]) -> Float[Tensor, "tokens c"]:
        """GELU, written to the same place for every chunk: there it is in cache."""
        if self._place is None or len(self._place) < len(hidden):
            self._place = torch.empty_like(hidden)
        return torch.ops.aten.gelu.out(hidden, out=self._place[: len(hidden)])


class AttentionHalf:
    """`x + factor · norm(proj(attention(qkv(x))))`.

    Args:
        qkv: layer that gives queries, keys and values.
        proj: layer that follows the attention.
        norm: the end.
        scale: 1 / tau of each head.
        biases: position bias of the windows of each shape, in the type in which attention is computed.
    """

    def __init__(
        self,
        qkv: LinearWithGrad,
        proj: LinearWithGrad,
        norm: ResidualNorm,
        scale: Float[Tensor, " h"],
        biases: dict[Size, Tensor],
    ):
        self.qkv, self.proj, self.norm = qkv, proj, norm
        self.scale, self.biases = scale, biases
        self._lengths = lengths_of(scale)

    def forward(self, x: Float[Tensor, "tokens c"], activations: Activations, groups: Sequence[Group]) -> None:
        """Compute the activations that are not there yet."""
        if "qkv" not in activations:
            activations["qkv"] = self.qkv.forward(x)
        if "attended" not in activations:
            biases = [self.biases[shape] for shape, _ in groups]
            activations["context"] = attention(self._heads(activations["qkv"]), self._lengths, groups, biases)
            activations["attended"] = self.proj.forward(activations["context"])

    def backward(
        self,
        x: Float[Tensor, "tokens c"],
        activations: Activations,
        grad: Float[Tensor, "tokens c"],
        factor: Tensor | None,
        groups: Sequence[Group],
        grad_scale: Float[Tensor, " h"],
        grad_biases: dict[Size, Tensor],
    ) -> Float[Tensor, "tokens c"]:
        """Gradient of x, `grad` being that of the output; those of scale and biases are added to what is given."""
        grad_branch = self.norm.backward(activations["attended"], grad, factor)
        grad_context = self.proj.transposed(grad_branch)
        grad_qkv, context = attention_gradients(
            self._heads(activations["qkv"]),
            grad_context,
            self.scale,
            groups,
            [self.biases[shape] for shape, _ in groups],
            grad_scale,
            [grad_biases[shape] for shape, _ in groups],
            "context" not in activations,
        )
        self.proj.backward(activations["context"] if context is None else context, grad_branch)
        grad_qkv = grad_qkv.flatten(1)
        self.qkv.backward(x, grad_qkv)
        return grad + self.qkv.transposed(grad_qkv)

    def _heads(self, qkv: Float[Tensor, "tokens c3"]) -> Float[Tensor, "tokens 3 h d"]:
        return split_heads(qkv, len(self.scale))


def split_heads(qkv: Float[Tensor, "tokens c3"], heads: int) -> Float[Tensor, "tokens 3 h d"]:
    """Queries, keys and values of each head."""
    return qkv.view(len(qkv), 3, heads, qkv.shape[1] // (3 * heads))
