"""Blocks of attention and MLP, and the stages that they form (arXiv:2111.09883, section 3.2)."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.utils.checkpoint import checkpoint

from .attention import ContinuousPositionBias, WindowAttention
from .engines.cpu.attention import is_eager
from .engines.cpu.block import Plan, Recompute, trained_block
from .engines.cpu.packing import Linear, hooked
from .engines.gpu.norm import add_norm
from .evaluated import EvaluatedStage
from .layers import LayerNorm, Mlp, PatchMerging, StochasticDepth
from .routes import Hop, reorder, route
from .windows import Cut, Fit, GridCut, Size

BYTES_IN_CACHE = 2**14  # of one channel of the tokens that a block takes at a time on a CPU without gradients


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

    def forward(
        self, x: Float[Tensor, "tokens c"], cut: Cut | GridCut, out: Float[Tensor, "tokens c"] | None = None
    ) -> Float[Tensor, "tokens c"]:
        """Tokens in the order of the cut, written to `out` if that is given and no norm follows."""
        x = self._add(x, self.norm1, self.attn(x, cut), cut)
        x = self._add(x, self.norm2, self.mlp(x), cut, out)
        return self.enorm(x)

    def _add(self, x: Tensor, norm: LayerNorm, branch: Tensor, cut: Cut | GridCut, out: Tensor | None = None) -> Tensor:
        """`x + drop_path(norm(branch))`, by one kernel where there can be one: in grid order on a GPU."""
        if isinstance(cut, GridCut) and type(norm) is LayerNorm and not hooked(norm):
            factors = self.drop_path.factors(cut.batch, x.device)
            return add_norm(x, branch, norm.weight, norm.bias, norm.eps, factors)
        return torch.add(x, self.drop_path(norm(branch), cut), out=out)

    def with_gradients(
        self, x: Float[Tensor, "tokens c"], hop: Hop | None, cut: Cut, recompute: Recompute
    ) -> Float[Tensor, "tokens c"]:
        """The same for tokens that have yet to hop, by functions that know their gradients."""
        attn, mlp = self.attn, self.mlp
        factors = self.drop_path.factors(cut.batch, x.device), self.drop_path.factors(cut.batch, x.device)
        plan = Plan(cut, None if hop is None else hop.there, factors, (self.norm1.eps, self.norm2.eps), recompute)
        layers = (attn.proj, self.norm1, mlp.fc1, mlp.fc2, self.norm2)
        weights = [(attn.qkv.weight, attn.qkv_bias()), *((layer.weight, layer.bias) for layer in layers)]
        return self.enorm(trained_block(x, plan, weights, attn.scale(), attn.cpb_mlp(cut.shapes, attn.trained_window)))

    def is_plain(self) -> bool:
        """Whether it and its layers are what they were built as; others (sharded, quantised, hooked) must be called."""
        attn, mlp = self.attn, self.mlp
        layers = (
            attn.qkv,
            attn.proj,
            mlp.fc1,
            mlp.fc2,
            self.norm1,
            self.norm2,
            mlp,
            attn,
            attn.cpb_mlp,
            self.drop_path,
            self,
        )
        kinds, ends = tuple(map(type, layers)), type(self.enorm) in (nn.Identity, LayerNorm)
        return kinds == PLAIN and ends and not any(map(hooked, (*layers, self.enorm))) and not _has_any_global_hook()

    def is_packed(self) -> bool:
        """Whether its linear layers keep their weights packed."""
        return all(layer.is_packed() for layer in (self.attn.qkv, self.attn.proj, self.mlp.fc1, self.mlp.fc2))


PLAIN = (*[Linear] * 4, *[LayerNorm] * 2, Mlp, WindowAttention, ContinuousPositionBias, StochasticDepth, Block)


class Stage(nn.Module):
    """Blocks at one resolution, in turn with plain and with shifted windows.

    Args:
        blocks: the blocks.
        downsample: what follows the stage, if anything does.
        window: tokens of a window along each axis, at most.
        fit: how windows share an axis that is no multiple of the window.
        shift: whether every second block cuts half a window later.
        recompute: what the backward pass computes again, rather than keep it.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        downsample: PatchMerging | None,
        window: Size,
        fit: Fit,
        shift: bool,
        recompute: Recompute,
    ):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample
        self.window = window
        self.fit: Fit = fit
        self.shift = shift
        self.recompute = recompute
        self._evaluated: EvaluatedStage | None = None

    def forward(self, x: Float[Tensor, "b *grid c"]) -> Float[Tensor, "b *grid c"]:
        """Between blocks, tokens hop from one window order straight to the next."""
        lengths = x.shape[:-1] if torch.compiler.is_compiling() else map(int, x.shape[:-1])  # traced: tensors
        batch, *size = lengths
        way = route(batch, tuple(size), self.window, self.fit, x.device)
        x = x.flatten(0, -2)  # (tokens of the batch, C)
        if (evaluated := self._evaluated_for(x)) is not None:
            x = evaluated(x, way, self.shift, BYTES_IN_CACHE // x.itemsize)
        else:
            for block, (hop, cut) in zip(self.blocks, way.steps(len(self.blocks), self.shift), strict=True):
                x = self._step(cast(Block, block), x, hop, cut)
        ends_shifted = self.shift and len(self.blocks) % 2 == 0
        return reorder(x, way.leave_shifted if ends_shifted else way.leave).unflatten(0, (batch, *size))

    @property
    def attentions(self) -> list[WindowAttention]:
        """The attention of each block."""
        return [cast(Block, block).attn for block in self.blocks]

    def pack(self) -> None:
        """Keep what evaluates its blocks on a CPU, if their layers are packed; again after writing to `weight.data`."""
        self._evaluated = None
        weights, blocks = list(self.blocks.parameters()), cast(list[Block], list(self.blocks))
        with torch.inference_mode(False), torch.no_grad():
            counted = len({w.dtype for w in weights}) == 1 and not any(w.is_inference() for w in weights)
            if counted and all(block.is_plain() and block.is_packed() for block in blocks):
                layers = [(block.attn, block.norm1, block.mlp, block.norm2, block.enorm) for block in blocks]
                self._evaluated = EvaluatedStage(layers, self.blocks)

    def _evaluated_for(self, x: Float[Tensor, "tokens c"]) -> EvaluatedStage | None:
        """What evaluates the blocks without calling them, if that is kept and is the same."""
        evaluated = self._evaluated
        if evaluated is None or not is_eager():
            return None
        if evaluated.root is not self.blocks or not evaluated.is_current():
            self._evaluated = None  # it is of no use any more
            return None
        return evaluated if evaluated.takes(x) else None

    def _step(self, block: Block, x: Tensor, hop: Hop | None, cut: Cut | GridCut) -> Tensor:
        recorded = torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in block.parameters()))
        if recorded and isinstance(cut, Cut) and x.device.type in ("cpu", "cuda") and block.is_plain():
            return block.with_gradients(x, hop, cut, self.recompute)
        if isinstance(cut, Cut) and not len(x):
            return x
        if recorded and self.recompute == "block":
            return checkpoint(block, reorder(x, hop), cut, use_reentrant=False)
        if recorded or self.training or isinstance(cut, GridCut) or x.device.type != "cpu":
            return block(reorder(x, hop), cut)
        rows = BYTES_IN_CACHE // x.itemsize  # with which what a part needs stays in cache
        if len(x) <= rows:
            return block(reorder(x, hop), cut)
        out = torch.empty_like(x)
        for places, part in cut.parts(rows):
            given, place = x[places] if hop is None else x.index_select(0, hop.there[places]), out[places]
            found = block(given, part, None if torch.is_grad_enabled() else place)
            if found is not place:
                place.copy_(found)
        return out
