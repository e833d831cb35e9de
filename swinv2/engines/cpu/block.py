"""A whole block on a CPU, a few windows at a time: its evaluation, and its training by gradients of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...attention import full_precision
from ...windows import Size
from .attention import HALVES, Run, attend, attend_in_blocks, runs_of, set_length
from .layers import (
    Activations,
    AttentionHalf,
    GradientSum,
    Layer,
    LinearWithGrad,
    MlpHalf,
    ResidualNorm,
    split_heads,
)
from .order import Chunk

SAVED = ("qkv", "attended", "hidden", "mlp")  # activations that the backward pass finds again: not those that are cheap
NUMBERS_IN_CACHE = 3 * 2**17  # tokens · channels of the chunk that training takes at a time
FEWEST_TOKENS = 512  # but no fewer tokens than these

Factors = tuple[Tensor | None, Tensor | None]


@dataclass(frozen=True, eq=False)
class Work:
    """What is evaluated at a time.

    Attributes:
        chunk: the windows.
        biases: position bias of the windows of each group, in the type in which attention is computed.
        runs: the same, as `attend` takes them.
    """

    chunk: Chunk
    biases: Sequence[Float[Tensor, "h _ _"]]
    runs: Sequence[Run]


def work_of(chunks: Sequence[Chunk], biases: dict[Size, Tensor]) -> list[Work]:
    """Chunks with the biases that they need, of all shapes of windows."""
    made = []
    for chunk in chunks:
        of_groups = [biases[shape] for shape, _ in chunk.groups]
        made.append(Work(chunk, of_groups, runs_of(chunk.groups, of_groups)))
    return made


@dataclass(frozen=True, eq=False)
class EvaluatedBlock:
    """The layers of a block, with all that depends on weights alone.

    Attributes:
        qkv: layer that gives queries, keys and values.
        proj: layer that follows the attention.
        norm1: the end of the attention.
        fc1: first layer of the MLP.
        fc2: second layer of the MLP.
        norm2: the end of the MLP.
        lengths: of queries and keys of each head.
    """

    qkv: Layer
    proj: Layer
    norm1: ResidualNorm
    fc1: Layer
    fc2: Layer
    norm2: ResidualNorm
    lengths: Float[Tensor, "2 h 1"]

    def __call__(
        self, x: Float[Tensor, "tokens c"], work: Sequence[Work], factors: Factors
    ) -> Float[Tensor, "tokens c"]:
        """Tokens after attention and MLP, without gradients.

        Args:
            x: all tokens of a batch.
            work: what is computed at a time.
            factors: of the two branches, for each image, as stochastic depth has them; None for 1.
        """
        if len(work) == 1:
            return work[0].chunk.put_all(self._chunk(work[0].chunk.take(x), work[0], factors))
        out = torch.empty_like(x, dtype=torch.promote_types(x.dtype, self.norm2.parameters[0].dtype))
        for some in work:
            some.chunk.put(self._chunk(some.chunk.take(x), some, factors), out)
        return out

    def _chunk(self, x: Float[Tensor, "tokens c"], work: Work, factors: Factors) -> Float[Tensor, "tokens c"]:
        one, two = (None if factor is None else factor[work.chunk.image] for factor in factors)
        qkv = split_heads(self.qkv.forward(x), self.lengths.shape[1])
        if qkv.dtype in HALVES:
            context = attend_in_blocks(qkv, self.lengths, work.chunk.groups, work.biases)
        else:
            set_length(qkv[:, :2], self.lengths, qkv[:, :2])
            context = attend(qkv, work.runs)
        x = self.norm1.forward(x, self.proj.forward(context), one)
        return self.norm2.forward(x, self.fc2.forward(self.fc1.gelu(x)), two)


@dataclass(frozen=True, eq=False)
class BlockOptions:
    """How a block is trained.

    Attributes:
        chunks: the windows that are computed at a time.
        shapes: of the windows, in the order of their biases.
        factors: of the two branches, for each image, as stochastic depth has them; None for 1.
        eps: of the two norms.
        saved: activations that are kept for the backward pass; others are computed again.
    """

    chunks: Sequence[Chunk]
    shapes: Sequence[Size]
    factors: Factors
    eps: tuple[float, float]
    saved: tuple[str, ...] = SAVED


def trained_block(
    x: Float[Tensor, "tokens c"],
    options: BlockOptions,
    weights: Sequence[tuple[Tensor, Tensor]],
    scale: Float[Tensor, " h"],
    biases: Sequence[Float[Tensor, "h _ _"]],
) -> Float[Tensor, "tokens c"]:
    """Attention and MLP with their norms and residuals, as `Block` has them, a chunk of windows at a time.

    There is no second derivative. Under autocast the linear layers multiply in its type.

    Args:
        x: all tokens of a batch, in the order of the grids.
        options: how.
        weights: weight and bias of qkv, proj and norm of the attention, then of fc1, fc2 and norm of the MLP.
        scale: 1 / tau of each head.
        biases: position bias of the windows of each shape.
    """
    dtype = multiplied_type(x)
    wide = torch.promote_types(x.dtype, torch.float32)
    with full_precision(x.device):
        flat = [tensor for pair in weights for tensor in pair]
        return TrainedBlock.apply(options, dtype, x, scale.to(wide), *flat, *(bias.to(wide) for bias in biases))


def multiplied_type(x: Tensor) -> torch.dtype:
    """The type in which linear layers multiply such tokens."""
    device = x.device.type
    under_autocast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if under_autocast else x.dtype


class TrainedBlock(torch.autograd.Function):
    """See `trained_block`."""

    @staticmethod
    def forward(
        ctx: Any, options: BlockOptions, dtype: torch.dtype, x: Tensor, scale: Tensor, *tensors: Tensor
    ) -> Float[Tensor, "tokens c"]:
        """Tokens in the order of the grids."""
        block = _Halves(options, dtype, scale, tensors, [False] * 12, len(x))
        out = torch.empty_like(x, dtype=torch.promote_types(x.dtype, tensors[10].dtype))  # the norm's
        saved = []
        for chunk in options.chunks:
            activations: Activations = {}
            factors = block.factors(chunk)
            block.forward(chunk.take(x), activations, chunk, factors)
            chunk.put(block.mlp.norm.forward(activations["middle"], activations["mlp"], factors[1]), out)
            saved += [activations[name] for name in options.saved]
        ctx.save_for_backward(x, scale, *tensors, *saved)
        ctx.options, ctx.dtype, ctx.given = options, dtype, len(tensors)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the tokens, the scale, the weights and the biases."""
        with full_precision(grad_out.device):
            return TrainedBlock._gradients(ctx, grad_out)

    @staticmethod
    def _gradients(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        options: BlockOptions = ctx.options
        x, scale, *tensors = ctx.saved_tensors
        tensors, saved = tensors[: ctx.given], iter(tensors[ctx.given :])
        block = _Halves(options, ctx.dtype, scale, tensors, ctx.needs_input_grad[4:16], len(x))
        grad_x = torch.empty_like(x)
        for chunk in options.chunks:
            activations = {name: next(saved) for name in options.saved}
            grad = block.backward(chunk.take(x), activations, chunk, chunk.take(grad_out))
            chunk.put(grad.to(x.dtype), grad_x)
        return None, None, grad_x, *block.gradients()


class _Halves:
    """The two halves, and how a chunk passes them."""

    def __init__(
        self,
        options: BlockOptions,
        dtype: torch.dtype,
        scale: Tensor,
        tensors: Sequence[Tensor],
        wanted: Sequence[bool],
        tokens: int,
    ):
        self._factors = options.factors
        pairs = [(tensors[i : i + 2], wanted[i : i + 2]) for i in range(0, 12, 2)]
        qkv, proj, fc1, fc2 = (LinearWithGrad(*pairs[i], dtype, tokens) for i in (0, 1, 3, 4))
        norms = [ResidualNorm(*pairs[i], eps) for i, eps in zip((2, 5), options.eps, strict=True)]
        biases = dict(zip(options.shapes, tensors[12:], strict=True))
        self.attention = AttentionHalf(qkv, proj, norms[0], scale, biases)
        self.mlp = MlpHalf(fc1, fc2, norms[1])
        self._sums: list[GradientSum] = [qkv, proj, norms[0], fc1, fc2, norms[1]]

    @cached_property
    def grads(self) -> tuple[Tensor, dict[Size, Tensor]]:
        """Gradients of the scale and of the biases so far, of which the forward pass has none."""
        biases = self.attention.biases.items()
        return torch.zeros_like(self.attention.scale), {shape: torch.zeros_like(bias) for shape, bias in biases}

    def factors(self, chunk: Chunk) -> list[Tensor | None]:
        """Stochastic-depth factor of each token, for both branches."""
        return [None if factor is None else factor[chunk.image] for factor in self._factors]

    def forward(self, x: Tensor, activations: Activations, chunk: Chunk, factors: Sequence[Tensor | None]) -> None:
        """Compute the activations that are not there yet."""
        self.attention.forward(x, activations, chunk.groups)
        if "middle" not in activations:
            activations["middle"] = self.attention.norm.forward(x, activations["attended"], factors[0])
        self.mlp.forward(activations["middle"], activations)

    def backward(self, x: Tensor, activations: Activations, chunk: Chunk, grad: Tensor) -> Float[Tensor, "tokens c"]:
        """Gradient of x; those of scale, weights and biases are summed up."""
        factors = self.factors(chunk)
        self.forward(x, activations, chunk, factors)
        grad = self.mlp.backward(activations["middle"], activations, grad, factors[1])
        return self.attention.backward(x, activations, grad, factors[0], chunk.groups, *self.grads)

    def gradients(self) -> list[Tensor | None]:
        """Gradients of the scale, the weights and the biases."""
        grad_weights = [grad for parameters in self._sums for grad in parameters.gradients()]
        grad_scale, grad_biases = self.grads
        return [grad_scale, *grad_weights, *grad_biases.values()]


def tokens_in_cache(x: Float[Tensor, "tokens c"]) -> int:
    """Tokens of a chunk in training."""
    return max(NUMBERS_IN_CACHE // x.shape[1], FEWEST_TOKENS)
