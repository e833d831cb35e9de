"""A block that knows its own gradients: what a CPU trains with, in little memory and few passes over it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...windows import Cut
from .attention import full_precision
from .layers import AttentionHalf, LinearRows, MlpHalf, NormedSum, Steps, Summed

Recompute = Literal["nothing", "elementwise", "block"]

KEPT: dict[Recompute, tuple[str, ...]] = {  # steps of the forward pass that the backward pass finds again
    "nothing": ("qkv", "context", "attended", "middle", "hidden", "mlp"),
    "elementwise": ("qkv", "attended", "hidden", "mlp"),
    "block": (),
}
NUMBERS_IN_CACHE = 3 * 2**17  # tokens · channels of the run of windows that a pass takes at a time on a CPU
FEWEST_ROWS = 512  # but no fewer tokens than these


@dataclass(frozen=True, eq=False)
class Plan:
    """How a block is computed.

    Attributes:
        cut: the windows.
        order: which token of those that come in stands at each place of the cut; None if they stand so already.
        factors: of the two branches, for each image, as stochastic depth has them; None for 1.
        eps: of the two norms.
        recompute: what the backward pass computes again: "nothing" of weight, "elementwise" functions and attention
            but no linear layer, or the whole "block", of which only the input is kept then.
    """

    cut: Cut
    order: Tensor | None
    factors: tuple[Tensor | None, Tensor | None]
    eps: tuple[float, float]
    recompute: Recompute


def trained_block(
    x: Float[Tensor, "tokens c"],
    plan: Plan,
    weights: Sequence[tuple[Tensor, Tensor]],
    scale: Float[Tensor, " h"],
    biases: Sequence[Float[Tensor, "h _ _"]],
) -> Float[Tensor, "tokens c"]:
    """Attention and MLP with their norms and residuals, as `Block` has them, a run of windows at a time.

    There is no second derivative. Under autocast the linear layers multiply in its type.

    Args:
        x: tokens.
        plan: how.
        weights: weight and bias of qkv, proj and norm of the attention, then of fc1, fc2 and norm of the MLP.
        scale: 1 / tau of each head.
        biases: position bias of the windows of each group of the cut.
    """
    device = x.device.type
    under_autocast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if under_autocast else x.dtype
    wide = torch.promote_types(x.dtype, torch.float32)
    with full_precision(x.device):
        flat = [tensor for pair in weights for tensor in pair]
        return TrainedBlock.apply(plan, dtype, x, scale.to(wide), *flat, *(bias.to(wide) for bias in biases))


class TrainedBlock(torch.autograd.Function):
    """See `trained_block`."""

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, dtype: torch.dtype, x: Tensor, scale: Tensor, *tensors: Tensor
    ) -> Float[Tensor, "tokens c"]:
        """Tokens in the order of the cut."""
        block = _Block(plan, dtype, scale, tensors, [False] * 12)
        out = torch.empty_like(x, dtype=torch.promote_types(x.dtype, tensors[10].dtype))  # the norm's
        kept = []
        for places, part in plan.cut.parts(_rows(x)):
            steps: Steps = {}
            factors = block.factors(part)
            block.forward(_take(x, plan, places), steps, part, factors)
            out[places] = block.mlp.norm.forward(steps["middle"], steps["mlp"], factors[1])
            kept += [steps[name] for name in KEPT[plan.recompute]]
        ctx.save_for_backward(x, scale, *tensors, *kept)
        ctx.plan, ctx.dtype, ctx.given = plan, dtype, len(tensors)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the tokens, the scale, the weights and the biases."""
        with full_precision(gradient.device):
            return TrainedBlock._gradients(ctx, gradient)

    @staticmethod
    def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        plan: Plan = ctx.plan
        x, scale, *tensors = ctx.saved_tensors
        tensors, kept = tensors[: ctx.given], iter(tensors[ctx.given :])
        block = _Block(plan, ctx.dtype, scale, tensors, ctx.needs_input_grad[4:16])
        of_x = torch.empty_like(x)
        for places, part in plan.cut.parts(_rows(x)):
            steps = {name: next(kept) for name in KEPT[plan.recompute]}
            of_rows = block.backward(_take(x, plan, places), steps, part, gradient[places])
            if plan.order is None:
                of_x[places] = of_rows
            else:
                of_x.index_copy_(0, plan.order[places], of_rows.to(x.dtype))
        return None, None, of_x, *block.gradients()


class _Block:
    """The two halves, and how a run of windows passes them."""

    def __init__(
        self, plan: Plan, dtype: torch.dtype, scale: Tensor, tensors: Sequence[Tensor], wanted: Sequence[bool]
    ):
        self.plan = plan
        pairs = [(tensors[i : i + 2], wanted[i : i + 2]) for i in range(0, 12, 2)]
        rows = len(plan.cut.order)
        qkv, proj, fc1, fc2 = (LinearRows(*pairs[i], dtype, rows) for i in (0, 1, 3, 4))
        norms = [NormedSum(*pairs[i], eps) for i, eps in zip((2, 5), plan.eps, strict=True)]
        biases = {shape: bias for (shape, _), bias in zip(plan.cut.groups, tensors[12:], strict=True)}
        self.attention = AttentionHalf(qkv, proj, norms[0], scale, biases)
        self.mlp = MlpHalf(fc1, fc2, norms[1])
        self.summed: list[Summed] = [qkv, proj, norms[0], fc1, fc2, norms[1]]

    def factors(self, part: Cut) -> list[Tensor | None]:
        """Of the branches of each token."""
        return [None if factor is None else factor[part.image] for factor in self.plan.factors]

    def forward(self, x: Tensor, steps: Steps, part: Cut, factors: Sequence[Tensor | None]) -> None:
        """Take the steps that are not taken yet."""
        self.attention.forward(x, steps, part.groups)
        if "middle" not in steps:
            steps["middle"] = self.attention.norm.forward(x, steps["attended"], factors[0])
        self.mlp.forward(steps["middle"], steps)

    def backward(self, x: Tensor, steps: Steps, part: Cut, slope: Tensor) -> Float[Tensor, "tokens c"]:
        """Gradient of x; those of the weights are summed up."""
        factors = self.factors(part)
        self.forward(x, steps, part, factors)
        slope = self.mlp.backward(steps["middle"], steps, slope, factors[1])
        return self.attention.backward(x, steps, slope, factors[0], part.groups)

    def gradients(self) -> list[Tensor | None]:
        """Of the scale, the weights and the biases."""
        of_weights = [gradient for summed in self.summed for gradient in summed.gradients()]
        return [self.attention.of_scale, *of_weights, *self.attention.of_biases.values()]


def _take(x: Tensor, plan: Plan, places: slice) -> Tensor:
    """The tokens of a run of windows."""
    return x[places] if plan.order is None else x.index_select(0, plan.order[places])


def _rows(x: Tensor) -> int:
    """Tokens that are taken at a time."""
    return max(NUMBERS_IN_CACHE // x.shape[1], FEWEST_ROWS) if x.device.type == "cpu" else len(x)
