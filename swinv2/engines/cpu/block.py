"""A whole block on a CPU, a few windows at a time: its evaluation, and its training by gradients of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from ...attention import full_precision
from ...windows import Size
from .attention import (
    HALVES,
    Run,
    attend,
    attend_in_blocks,
    attention,
    attention_gradients,
    first_derivative,
    lengths_of,
    set_length,
)
from .layers import GradientSum, LinearWithGrad, ResidualNorm, split_heads
from .order import Chunk
from .packing import Product

SAVED = ("qkv", "attended", "hidden", "mlp")  # activations that the backward pass finds again: not those that are cheap
NUMBERS_IN_CACHE = 3 * 2**17  # tokens · channels of the chunk that training takes at a time
FEWEST_TOKENS = 512  # but no fewer tokens than these

Factors = tuple[Tensor | None, Tensor | None]
Activations = dict[str, Tensor]  # what a block computes on its way, by name


@dataclass(frozen=True, eq=False)
class EvaluatedBlock:
    """A block by what depends on its weights alone.

    Attributes:
        attention: products that give queries, keys and values, whose result is written over, and that follow the
            attention; its end; lengths of queries and keys of each head. None to leave it out.
        mlp: its two products, the first with GELU, and its end. None to leave it out.
    """

    attention: tuple[Product, Product, ResidualNorm, Float[Tensor, "2 h 1"]] | None
    mlp: tuple[Product, Product, ResidualNorm] | None

    def __call__(
        self, x: Float[Tensor, "tokens c"], work: Sequence[tuple[Chunk, list[Run]]], factors: Factors
    ) -> Float[Tensor, "tokens c"]:
        """Tokens after attention and MLP, or one of them, without gradients.

        Args:
            x: all tokens of a batch.
            work: what is computed at a time: windows, and their biases in the type in which attention is computed.
            factors: of the two branches, for each image, as stochastic depth has them; None for 1.
        """
        if len(work) == 1:
            ((chunk, runs),) = work
            return chunk.put_all(self._chunk(chunk.take(x), chunk, runs, factors))
        norm = self.mlp[2] if self.mlp is not None else cast(tuple, self.attention)[2]
        out = torch.empty_like(x, dtype=torch.promote_types(x.dtype, norm.parameters[0].dtype))
        for chunk, runs in work:
            chunk.put(self._chunk(chunk.take(x), chunk, runs, factors), out)
        return out

    def _chunk(self, x: Float[Tensor, "tokens c"], chunk: Chunk, runs: list[Run], factors: Factors) -> Tensor:
        one, two = (None if factor is None else factor[chunk.image] for factor in factors)
        if self.attention is not None:
            qkv, proj, norm, lengths = self.attention
            x = norm.forward(x, proj(_attended(split_heads(qkv(x), lengths.shape[1]), lengths, chunk, runs)), one)
        if self.mlp is not None:
            fc1, fc2, norm = self.mlp
            x = norm.forward(x, fc2(fc1(x)), two, overwrite=self.attention is not None)
        return x


def _attended(
    qkv: Float[Tensor, "tokens 3 h d"], lengths: Float[Tensor, "2 h 1"], chunk: Chunk, runs: list[Run]
) -> Float[Tensor, "tokens c"]:
    """Scaled cosine attention (eq. 2), which writes over the queries and keys."""
    if qkv.dtype in HALVES:
        return attend_in_blocks(qkv, lengths, chunk.groups, [bias[0] for _, _, bias in runs])
    set_length(qkv[:, :2], lengths, qkv[:, :2])
    return attend(qkv, runs)


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
    available = x.dtype != torch.float64 and torch.amp.is_autocast_available(device)  # which leaves float64 alone
    under_autocast = available and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if under_autocast else x.dtype


class TrainedBlock(torch.autograd.Function):
    """See `trained_block`."""

    @staticmethod
    def forward(
        ctx: Any, options: BlockOptions, dtype: torch.dtype, x: Tensor, scale: Tensor, *tensors: Tensor
    ) -> Float[Tensor, "tokens c"]:
        """Tokens in the order of the grids."""
        layers = _Layers(options, dtype, scale, tensors, [False] * 12, len(x))
        out = torch.empty_like(x, dtype=torch.promote_types(x.dtype, tensors[10].dtype))  # the norm's
        saved = []
        for chunk in options.chunks:
            activations: Activations = {}
            _, factor = layers.forward(chunk.take(x), activations, chunk)
            chunk.put(layers.norm2.forward(activations["middle"], activations["mlp"], factor), out)
            saved += [activations[name] for name in options.saved]
        ctx.save_for_backward(x, scale, *tensors, *saved)
        ctx.options, ctx.dtype, ctx.given = options, dtype, len(tensors)
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the tokens, the scale, the weights and the biases."""
        saved = ctx.saved_tensors
        with torch.no_grad(), full_precision(grad_out.device):
            grads = TrainedBlock._gradients(ctx, saved, grad_out)
        return first_derivative(grads, grad_out, *saved[: 2 + ctx.given])

    @staticmethod
    def _gradients(ctx: Any, saved_tensors: Sequence[Tensor], grad_out: Tensor) -> tuple[Tensor | None, ...]:
        options: BlockOptions = ctx.options
        x, scale, *tensors = saved_tensors
        tensors, saved = tensors[: ctx.given], iter(tensors[ctx.given :])
        layers = _Layers(options, ctx.dtype, scale, tensors, ctx.needs_input_grad[4:16], len(x))
        grad_x = torch.empty_like(x)
        for chunk in options.chunks:
            activations = {name: next(saved) for name in options.saved}
            grad = layers.backward(chunk.take(x), activations, chunk, chunk.take(grad_out))
            chunk.put(grad.to(x.dtype), grad_x)
        return None, None, grad_x, *layers.gradients()


class _Layers:
    """The layers of a block in training, and how a chunk passes them."""

    def __init__(
        self,
        options: BlockOptions,
        dtype: torch.dtype,
        scale: Tensor,
        tensors: Sequence[Tensor],
        wanted: Sequence[bool],
        tokens: int,
    ):
        pairs = [(tensors[i : i + 2], wanted[i : i + 2]) for i in range(0, 12, 2)]
        self.qkv, self.proj, self.fc1, self.fc2 = (LinearWithGrad(*pairs[i], dtype, tokens) for i in (0, 1, 3, 4))
        self.norm1, self.norm2 = (ResidualNorm(*pairs[i], eps) for i, eps in zip((2, 5), options.eps, strict=True))
        self.scale, self.lengths, self.factors = scale, lengths_of(scale), options.factors
        self.biases = dict(zip(options.shapes, tensors[12:], strict=True))
        self._place: Tensor | None = None

    @cached_property
    def grads(self) -> tuple[Tensor, dict[Size, Tensor]]:
        """Gradients of the scale and of the biases so far, of which the forward pass has none."""
        return torch.zeros_like(self.scale), {shape: torch.zeros_like(bias) for shape, bias in self.biases.items()}

    def forward(self, x: Float[Tensor, "tokens c"], activations: Activations, chunk: Chunk) -> Factors:
        """Compute the activations that are not there yet.

        Returns:
            Stochastic-depth factor of each token, for both branches.
        """
        one, two = (None if factor is None else factor[chunk.image] for factor in self.factors)
        if "qkv" not in activations:
            activations["qkv"] = self.qkv.forward(x)
        if "attended" not in activations:
            qkv, biases = split_heads(activations["qkv"], len(self.scale)), self._biases_of(chunk, self.biases)
            activations["context"] = attention(qkv, self.lengths, chunk.groups, biases)
            activations["attended"] = self.proj.forward(activations["context"])
        if "middle" not in activations:
            activations["middle"] = self.norm1.forward(x, activations["attended"], one)
        if "hidden" not in activations:
            activations["hidden"] = self.fc1.forward(activations["middle"])
        if "mlp" not in activations:
            activations["mlp"] = self.fc2.forward(self._gelu(activations["hidden"]))
        return one, two

    def backward(
        self, x: Float[Tensor, "tokens c"], activations: Activations, chunk: Chunk, grad: Float[Tensor, "tokens c"]
    ) -> Float[Tensor, "tokens c"]:
        """Gradient of x, `grad` being that of the output; those of scale, weights and biases are summed up."""
        one, two = self.forward(x, activations, chunk)
        hidden = activations["hidden"]
        grad_branch = self.norm2.backward(activations["mlp"], grad, two)
        self.fc2.backward(self._gelu(hidden), grad_branch)
        grad_hidden = self.fc2.transposed(grad_branch)
        torch.ops.aten.gelu_backward.grad_input(grad_hidden, hidden, grad_input=grad_hidden)
        self.fc1.backward(activations["middle"], grad_hidden)
        grad = grad + self.fc1.transposed(grad_hidden)

        grad_branch = self.norm1.backward(activations["attended"], grad, one)
        grad_scale, grad_biases = self.grads
        grad_qkv, context = attention_gradients(
            split_heads(activations["qkv"], len(self.scale)),
            self.proj.transposed(grad_branch),
            self.scale,
            chunk.groups,
            self._biases_of(chunk, self.biases),
            grad_scale,
            self._biases_of(chunk, grad_biases),
            "context" not in activations,
        )
        self.proj.backward(activations["context"] if context is None else context, grad_branch)
        self.qkv.backward(x, grad_qkv.flatten(1))
        return grad + self.qkv.transposed(grad_qkv.flatten(1))

    def gradients(self) -> list[Tensor | None]:
        """Gradients of the scale, the weights and the biases."""
        layers: list[GradientSum] = [self.qkv, self.proj, self.norm1, self.fc1, self.fc2, self.norm2]
        grad_scale, grad_biases = self.grads
        return [grad_scale, *(grad for layer in layers for grad in layer.gradients()), *grad_biases.values()]

    def _biases_of(self, chunk: Chunk, biases: dict[Size, Tensor]) -> list[Tensor]:
        return [biases[shape] for shape, _ in chunk.groups]

    def _gelu(self, hidden: Float[Tensor, "tokens c"]) -> Float[Tensor, "tokens c"]:
        """GELU, written to the same place for every chunk: there it is in cache."""
        if self._place is None or len(self._place) < len(hidden):
            self._place = torch.empty_like(hidden)
        return torch.ops.aten.gelu.out(hidden, out=self._place[: len(hidden)])


def tokens_in_cache(x: Float[Tensor, "tokens c"]) -> int:
    """Tokens of a chunk in training."""
    return max(NUMBERS_IN_CACHE // x.shape[1], FEWEST_TOKENS)
