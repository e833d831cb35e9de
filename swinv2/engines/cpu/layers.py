"""Layers of a block that sum up their own gradients over chunks of tokens."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from .packing import product

TOKENS_WORTH_PACKING = 4096  # from which packing a weight takes less time than it saves


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
    """A linear layer.

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
        self,
        x: Float[Tensor, "tokens c"],
        branch: Float[Tensor, "tokens c"],
        factor: Tensor | None,
        overwrite: bool = False,
    ) -> Float[Tensor, "tokens c"]:
        """The sum, which may be written over x."""
        weight, bias = self.parameters
        if branch.dtype != weight.dtype:
            branch = branch.to(torch.promote_types(branch.dtype, weight.dtype))
        normed = torch.layer_norm(branch, weight.shape, weight, bias, self.eps)
        if factor is None:
            return x.add_(normed) if overwrite and x.dtype == normed.dtype else x + normed
        return torch.addcmul(x, normed, factor.unsqueeze(1).to(normed.dtype))

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


def split_heads(qkv: Float[Tensor, "tokens c3"], heads: int) -> Float[Tensor, "tokens 3 h d"]:
    """Queries, keys and values of each head."""
    return qkv.view(len(qkv), 3, heads, qkv.shape[1] // (3 * heads))
