"""Blocks of attention and MLP, and the stages that they form (arXiv:2111.09883, section 3.2)."""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .attention import WindowAttention
from .layers import LayerNorm, Mlp, PatchMerging, StochasticDepth
from .windows import Cut, Hop, Route, Size, reorder, route

ROWS_IN_CACHE = 4096  # tokens that a block takes at a time on a CPU when no gradient is asked for


class Block(nn.Module):
    """Window attention and MLP, each normalised at its end before it is added (residual post-norm, section 3.2).

    Args:
        attn: the attention.
        dim: channels.
        mlp_ratio: hidden width of the MLP, in multiples of `dim`.
        drop_path_rate: probability of leaving out a branch in training.
        extra_norm: whether the sum is normalised once more (section 3.2, for the huge and the giant model).
    """

    def __init__(self, attn: WindowAttention, dim: int, mlp_ratio: float, drop_path_rate: float, extra_norm: bool):
        super().__init__()
        self.attn = attn
        self.norm1 = LayerNorm(dim)
        self.mlp = Mlp(dim, int(mlp_ratio * dim))
        self.norm2 = LayerNorm(dim)
        self.drop_path = StochasticDepth(drop_path_rate)
        self.enorm = LayerNorm(dim) if extra_norm else nn.Identity()

    def forward(self, x: Float[Tensor, "tokens c"], cut: Cut) -> Float[Tensor, "tokens c"]:
        """Tokens in the order of the cut."""
        x = x + self.drop_path(self.norm1(self.attn(x, cut.groups)), cut)
        x = x + self.drop_path(self.norm2(self.mlp(x)), cut)
        return self.enorm(x)


class Stage(nn.Module):
    """Blocks at one resolution, in turn with plain and with shifted windows.

    Args:
        blocks: the blocks.
        downsample: what follows the stage, if anything does.
        window: tokens of a window along each axis.
        shift: whether every second block cuts half a window later.
        checkpointing: whether the backward pass computes the blocks again rather than keep what is inside them.
    """

    def __init__(
        self, blocks: Sequence[Block], downsample: PatchMerging | None, window: Size, shift: bool, checkpointing: bool
    ):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample
        self.window = window
        self.shift = shift
        self.checkpointing = checkpointing

    def forward(self, x: Float[Tensor, "b *grid c"]) -> Float[Tensor, "b *grid c"]:
        """Between blocks, tokens hop from one window order straight to the next."""
        batch, *size = (int(length) for length in x.shape[:-1])
        way = route(batch, tuple(size), self.window, x.device)
        x = x.flatten(0, -2)  # (tokens of the batch, C)
        for block, hop, cut in self._steps(way):
            x = self._step(block, x, hop, cut)
        ends_shifted = self.shift and len(self.blocks) % 2 == 0
        return reorder(x, way.leave_shifted if ends_shifted else way.leave).unflatten(0, (batch, *size))

    @property
    def attentions(self) -> list[WindowAttention]:
        """The attention of each block."""
        return [cast(Block, block).attn for block in self.blocks]

    def _steps(self, way: Route) -> Iterator[tuple[nn.Module, Hop | None, Cut]]:
        for i, block in enumerate(self.blocks):
            shifted = self.shift and i % 2 == 1
            hop = way.enter if i == 0 else None if not self.shift else way.shift if shifted else way.unshift
            yield block, hop, way.shifted if shifted else way.plain

    def _step(self, block: nn.Module, x: Tensor, hop: Hop | None, cut: Cut) -> Tensor:
        if self.training or torch.is_grad_enabled() or x.device.type != "cpu" or torch.compiler.is_compiling():
            x = reorder(x, hop)
            return (
                checkpoint(block, x, cut, use_reentrant=False)
                if self.checkpointing and x.requires_grad
                else block(x, cut)
            )
        out = torch.empty_like(x)
        for places, part in cut.parts(ROWS_IN_CACHE):  # what a part needs stays in cache
            out[places] = block(x[places] if hop is None else x[hop.there[places]], part)
        return out
