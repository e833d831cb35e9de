"""The two halves of a block, forward and backward, over as many tokens at a time as stay in cache."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ...windows import Group, Size
from .attention import attention, attention_slopes
from .packing import AVX2, can_pack

ROWS_WORTH_PACKING = 4096  # tokens from which packing a weight takes less time than it saves

Product = Callable[[Tensor], Tensor]
Steps = dict[str, Tensor]  # what a half block computes on its way, by name


class Summed:
    """Parameters whose gradients are summed up over runs of tokens, in float32 or better.

    Args:
        parameters: the parameters.
        wanted: whether each of them has a gradient.
    """

    def __init__(self, parameters: Sequence[Tensor], wanted: Sequence[bool]):
        self.parameters = parameters
        self.wanted = wanted
        self.sums: list[Tensor | None] = [None] * len(parameters)

    def add(self, index: int, slope: Tensor) -> None:
        """Add to the gradient of one parameter."""
        total = self.sums[index]
        if total is None:
            self.sums[index] = slope.to(torch.promote_types(slope.dtype, torch.float32))
        else:
            total += slope

    def gradients(self) -> list[Tensor | None]:
        """Gradient of each parameter, in its type; None if none is wanted."""
        pairs = zip(self.parameters, self.sums, strict=True)
        return [None if total is None else total.to(parameter.dtype) for parameter, total in pairs]


class LinearRows(Summed):
    """A linear layer.

    Args:
        parameters: weight and bias.
        wanted: whether each of them has a gradient.
        dtype: in which it multiplies.
        rows: tokens that it will be given in all.
    """

    def __init__(self, parameters: Sequence[Tensor], wanted: Sequence[bool], dtype: torch.dtype, rows: int):
        super().__init__(parameters, wanted)
        self.dtype = dtype
        self.weight, bias = (parameter.detach().to(dtype) for parameter in parameters)
        self.forward = product(self.weight, bias, packs=rows >= ROWS_WORTH_PACKING)
        self.transposed = product(self.weight.mT, None, packs=False)
        self._sums_transposed = self.weight.shape[0] < self.weight.shape[1]  # products with more rows are the faster

    def backward(self, x: Float[Tensor, "tokens i"], slope: Float[Tensor, "tokens o"]) -> None:
        """Take in the gradient of the output."""
        x, slope = x.to(self.dtype), slope.to(self.dtype)
        if self.wanted[0]:
            total, (one, other) = self.sums[0], (x, slope) if self._sums_transposed else (slope, x)
            if total is not None and total.dtype == slope.dtype:
                total.addmm_(one.mT, other)
            else:
                self.add(0, one.mT @ other)
        if self.wanted[1]:
            self.add(1, slope.sum(0, dtype=torch.promote_types(slope.dtype, torch.float32)))

    def gradients(self) -> list[Tensor | None]:
        """Of weight and bias."""
        of_weight, of_bias = super().gradients()
        if self._sums_transposed and of_weight is not None:
            of_weight = of_weight.mT.contiguous()
        return [of_weight, of_bias]


class NormedSum(Summed):
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
        normed, *_ = self._norm(branch)
        return x + normed if factor is None else torch.addcmul(x, normed, factor.unsqueeze(1).to(normed.dtype))

    def backward(
        self,
        branch: Float[Tensor, "tokens c"],
        slope: Float[Tensor, "tokens c"],
        factor: Float[Tensor, " tokens"] | None,
    ) -> Float[Tensor, "tokens c"]:
        """Gradient of the branch, in its type."""
        normed, mean, rstd, given = self._norm(branch)
        slope = slope.to(normed.dtype) if factor is None else (slope * factor.unsqueeze(1)).to(normed.dtype)
        weight, bias = self.parameters
        of_branch, *of_parameters = torch.ops.aten.native_layer_norm_backward(
            slope, given, [len(weight)], mean, rstd, weight, bias, [True, *self.wanted]
        )
        for index, of_parameter in enumerate(of_parameters):
            if self.wanted[index]:
                self.add(index, of_parameter)
        return of_branch.to(branch.dtype)

    def _norm(self, branch: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The norm, mean and 1 / standard deviation, and the branch in the type of all these."""
        weight, bias = self.parameters
        branch = branch.to(torch.promote_types(branch.dtype, weight.dtype))
        return *torch.native_layer_norm(branch, [len(weight)], weight, bias, self.eps), branch


class MlpHalf:
    """`x + factor · norm(fc2(gelu(fc1(x))))`."""

    def __init__(self, fc1: LinearRows, fc2: LinearRows, norm: NormedSum):
        self.fc1, self.fc2, self.norm = fc1, fc2, norm
        self._place: Tensor | None = None

    def forward(self, x: Float[Tensor, "tokens c"], steps: Steps) -> None:
        """Take the steps that are not taken yet."""
        if "hidden" not in steps:
            steps["hidden"] = self.fc1.forward(x.to(self.fc1.dtype))
        if "mlp" not in steps:
            steps["mlp"] = self.fc2.forward(self._activated(steps["hidden"]))

    def backward(
        self, x: Float[Tensor, "tokens c"], steps: Steps, slope: Float[Tensor, "tokens c"], factor: Tensor | None
    ) -> Float[Tensor, "tokens c"]:
        """Gradient of x, `slope` being that of the output."""
        of_branch = self.norm.backward(steps["mlp"], slope, factor)
        hidden = steps["hidden"]
        self.fc2.backward(self._activated(hidden), of_branch)
        of_hidden = self.fc2.transposed(of_branch)
        torch.ops.aten.gelu_backward.grad_input(of_hidden, hidden, grad_input=of_hidden)
        self.fc1.backward(x, of_hidden)
        return slope + self.fc1.transposed(of_hidden)

    def _activated(self, hidden: Float[Tensor, "tokens c"]) -> Float[Tensor, "tokens c"]:
        """GELU, written to the same place for every run: there it is in cache."""
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
        biases: position bias of the windows of each shape.
    """

    def __init__(
        self, qkv: LinearRows, proj: LinearRows, norm: NormedSum, scale: Float[Tensor, " h"], biases: dict[Size, Tensor]
    ):
        self.qkv, self.proj, self.norm = qkv, proj, norm
        self.scale, self.biases = scale, biases
        self.of_scale = torch.zeros_like(scale)
        self.of_biases = {shape: torch.zeros_like(bias) for shape, bias in biases.items()}

    def forward(self, x: Float[Tensor, "tokens c"], steps: Steps, groups: Sequence[Group]) -> None:
        """Take the steps that are not taken yet."""
        if "qkv" not in steps:
            steps["qkv"] = self.qkv.forward(x.to(self.qkv.dtype))
        if "attended" not in steps:
            biases = [self.biases[shape] for shape, _ in groups]
            steps["context"] = attention(self._heads(steps), self.scale, groups, biases)
            steps["attended"] = self.proj.forward(steps["context"])

    def backward(
        self,
        x: Float[Tensor, "tokens c"],
        steps: Steps,
        slope: Float[Tensor, "tokens c"],
        factor: Tensor | None,
        groups: Sequence[Group],
    ) -> Float[Tensor, "tokens c"]:
        """Gradient of x, `slope` being that of the output."""
        of_branch = self.norm.backward(steps["attended"], slope, factor)
        of_context = self.proj.transposed(of_branch)
        of_qkv, context = attention_slopes(
            self._heads(steps),
            of_context,
            self.scale,
            groups,
            [self.biases[shape] for shape, _ in groups],
            self.of_scale,
            [self.of_biases[shape] for shape, _ in groups],
            "context" not in steps,
        )
        self.proj.backward(steps["context"] if context is None else context, of_branch)
        of_qkv = of_qkv.flatten(1)
        self.qkv.backward(x, of_qkv)
        return slope + self.qkv.transposed(of_qkv)

    def _heads(self, steps: Steps) -> Float[Tensor, "tokens 3 h d"]:
        return steps["qkv"].unflatten(1, (3, len(self.scale), -1))


def product(weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None, packs: bool) -> Product:
    """Function that multiplies tokens by a weight, by oneDNN where PyTorch has that and it is the faster.

    With AVX2 alone it is not, except with weights that stay packed from pass to pass, as in evaluation.
    """
    if AVX2 or not (weight.device.type == "cpu" and can_pack(weight.dtype)):
        return lambda x: F.linear(x, weight, bias)
    ready = torch.ops.mkldnn._reorder_linear_weight(weight, None) if packs else weight
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, ready, bias, "none", [], "")
