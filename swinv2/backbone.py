"""Swin Transformer V2 for images, video and other N-D grids (arXiv:2111.09883)."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .arguments import Window, check_heads, check_lengths, check_stages, window_per_stage
from .attention import WindowAttention
from .layers import LayerNorm, Mlp, PatchEmbed, PatchMerging, StochasticDepth, drawn
from .windows import Size, Windows, cut


class Block(nn.Module):
    """Window attention and MLP, each normalised at its end before it is added (residual post-norm, section 3.2).

    Args:
        dim: channels.
        num_heads: attention heads.
        trained_window: window of the training along each axis, the unit of the position bias.
        mlp_ratio: hidden width of the MLP, in multiples of `dim`.
        drop_path_rate: probability of leaving out a branch in training.
        extra_norm: whether the sum is normalised once more (section 3.2, for the huge and the giant model).
        checkpointing: whether the backward pass computes the block again rather than keep what it needs.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        trained_window: Size,
        mlp_ratio: float,
        drop_path_rate: float,
        extra_norm: bool,
        checkpointing: bool,
    ):
        super().__init__()
        self.checkpointing = checkpointing
        self.attn = WindowAttention(dim, num_heads, len(trained_window), trained_window)
        self.norm1 = LayerNorm(dim)
        self.mlp = Mlp(dim, int(mlp_ratio * dim))
        self.norm2 = LayerNorm(dim)
        self.drop_path = StochasticDepth(drop_path_rate)
        self.enorm = LayerNorm(dim) if extra_norm else nn.Identity()

    def forward(self, x: Float[Tensor, "b *grid c"], windows: Windows) -> Float[Tensor, "b *grid c"]:
        """Tokens of a grid, which attend within windows."""
        kept = [drawn(self.drop_path, x) for _ in range(2)]
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(self.compute, x, windows, *kept, use_reentrant=False)
        return self.compute(x, windows, *kept)

    def compute(self, x: Float[Tensor, "b *grid c"], windows: Windows, *kept: tuple) -> Float[Tensor, "b *grid c"]:
        """What the block adds to its tokens: attention and MLP, as far as stochastic depth keeps them."""
        x = x + self.drop_path(self.norm1(self.attn(x, windows)), *kept[0])
        x = x + self.drop_path(self.norm2(self.mlp(x)), *kept[1])
        return self.enorm(x)


class Stage(nn.Module):
    """Blocks at one resolution, in turn with plain and with shifted windows.

    Args:
        blocks: the blocks.
        downsample: what follows the stage, if anything does.
        window: tokens of a window along each axis, at most.
        shift: whether every second block cuts half a window later.
    """

    def __init__(self, blocks: Sequence[Block], downsample: PatchMerging | None, window: Size, shift: bool):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample
        self.window = window
        self.shift = shift

    def forward(self, x: Float[Tensor, "b *grid c"]) -> Float[Tensor, "b *grid c"]:
        """All blocks, one after the other."""
        plain, shifted = (cut(x.shape[1:-1], self.window, half, x.device) for half in (False, self.shift))
        for i, block in enumerate(self.blocks):
            x = block(x, shifted if i % 2 else plain)
        return x


class SwinTransformerV2(nn.Module):
    """Swin Transformer V2 with hierarchical features; the length of `patch_size` is the number of spatial axes.

    Windows are given as one number, one per axis, or one entry per stage; they change at any time by `set_window_size`.

    Args:
        patch_size: pixels of a patch along each axis, (4, 4) for images, (2, 4, 4) for video.
        window_size: window in tokens, at most.
        pretrained_window_sizes: window of the weights' training, the unit of the position bias; None: `window_size`.
        merge_stride: shrinking along each axis between stages, all 2 if None; (1, 2, 2) keeps the frames of a video.
        in_channels: channels of the input.
        embed_dim: channels of the first stage, doubled by each later one.
        depths: blocks of each stage.
        num_heads: attention heads of each stage.
        mlp_ratio: hidden width of the MLPs, in multiples of the stage's channels.
        drop_path_rate: stochastic depth of the last block, growing linearly from 0 at the first.
        extra_norm_period: blocks from one extra norm to the next within a stage; 0 for none, 6 for huge and giant.
        out_indices: stages whose features are given, finest first.
        frozen_stages: -1 to train everything, 0 to freeze the patch embedding, i to freeze the first i stages too.
        checkpointing: stages whose blocks the backward pass computes again, all or none of them or one word per stage.

    Raises:
        ValueError: lengths that do not fit each other, or stages that do not exist.
    """

    def __init__(
        self,
        patch_size: Sequence[int] = (4, 4),
        window_size: Window = 8,
        pretrained_window_sizes: Window | None = None,
        merge_stride: Sequence[int] | None = None,
        in_channels: int = 3,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.0,
        extra_norm_period: int = 0,
        shift: Sequence[bool] | None = None,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        checkpointing: bool | Sequence[bool] = False,
    ):
        super().__init__()
        axes, stages = len(patch_size), len(depths)
        stride, shift = tuple(merge_stride or (2,) * axes), shift or [True] * stages
        again = [checkpointing] * stages if isinstance(checkpointing, bool) else list(checkpointing)
        check_lengths(patch_size, stride, depths, num_heads, shift, again)
        check_stages(out_indices, frozen_stages, stages)
        windows = window_per_stage(window_size, stages, axes, "window_size")
        trained = window_per_stage(pretrained_window_sizes or window_size, stages, axes, "pretrained_window_sizes")
        rates = iter(torch.linspace(0, drop_path_rate, sum(depths), device="cpu").tolist())

        dims = [embed_dim * 2**i for i in range(stages)]
        check_heads(dims, num_heads)
        self.axes = axes
        self.out_indices = sorted(out_indices)
        self.channels = [dims[i] for i in self.out_indices]
        self.strides = [patch_size[-1] * stride[-1] ** i for i in self.out_indices]
        self.frozen_stages = frozen_stages
        self.patch_embed = PatchEmbed(in_channels, embed_dim, tuple(patch_size))
        self.layers = nn.ModuleList()
        for i, (dim, heads) in enumerate(zip(dims, num_heads, strict=True)):
            extra = [extra_norm_period > 0 and j % extra_norm_period == 0 for j in range(1, depths[i] + 1)]
            blocks = [Block(dim, heads, trained[i], mlp_ratio, next(rates), norm, again[i]) for norm in extra]
            merging = PatchMerging(dim, stride) if i + 1 < stages else None
            self.layers.append(Stage(blocks, merging, windows[i], shift[i]))
        for i in self.out_indices:
            self.add_module(f"norm{i}", LayerNorm(dims[i]))
        self.apply(initialise)
        self.train()

    def forward(self, x: Float[Tensor, "b channels *size"]) -> list[Float[Tensor, "b _ *_"]]:
        """Features of an image or a clip of any size from one patch up.

        Returns:
            A feature map (B, C, S1, …, Sn) for each of `out_indices`, finest first; each axis is its pixels over the
            stride, rounded up.

        Raises:
            ValueError: wrong number of axes or channels, or an input smaller than one patch.
        """
        return self.encode(self.patch_embed(x))

    def encode(self, x: Float[Tensor, "b *grid c"]) -> list[Float[Tensor, "b _ *_"]]:
        """Features of tokens that are embedded already; masked-image modelling replaces some of them before."""
        features = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.out_indices:
                features.append(self.get_submodule(f"norm{i}")(x).movedim(-1, 1))
            x = x if stage.downsample is None else stage.downsample(x)
        return features

    @property
    def stages(self) -> list[Stage]:
        """The stages, finest first."""
        return [cast(Stage, stage) for stage in self.layers]

    @property
    def window_size(self) -> list[Size]:
        """Window of each stage, in tokens along each axis."""
        return [stage.window for stage in self.stages]

    def set_window_size(self, window_size: Window) -> None:
        """Change the windows; the position bias follows without new weights (section 3.3).

        Args:
            window_size: tokens, as one number, one per axis, or one entry per stage.

        Raises:
            ValueError: the numbers fit neither the axes nor the stages.
        """
        windows = window_per_stage(window_size, len(self.layers), self.axes, "window_size")
        for stage, window in zip(self.stages, windows, strict=True):
            stage.window = window

    @property
    def pretrained_window_sizes(self) -> list[Size]:
        """Window that the weights of each stage were trained with, in which the position bias measures offsets."""
        return [cast(Block, stage.blocks[0]).attn.trained_window for stage in self.stages]

    def set_pretrained_window_sizes(self, pretrained_window_sizes: Window) -> None:
        """Say which windows weights were trained with that do not say so themselves; given as to `set_window_size`."""
        trained = window_per_stage(pretrained_window_sizes, len(self.layers), self.axes, "pretrained_window_sizes")
        for stage, window in zip(self.stages, trained, strict=True):
            for block in stage.blocks:
                cast(Block, block).attn.trained_window = window

    def get_extra_state(self) -> Tensor:
        """The training windows, (stages, axes), which travel with the weights."""
        return torch.tensor(self.pretrained_window_sizes, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Take over the training windows that came with weights."""
        self.set_pretrained_window_sizes(state.tolist())

    def train(self, mode: bool = True) -> "SwinTransformerV2":
        """Switch to training or evaluation; frozen stages stay in evaluation and ask for no gradient."""
        super().train(mode)
        for part in [self.patch_embed, *self.layers][: self.frozen_stages + 1]:
            part.eval().requires_grad_(False)
        return self


def initialise(module: nn.Module) -> None:
    """Linear layers small, branches closed: a block starts as the identity, as in the official release."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, Block):
        nn.init.zeros_(module.norm1.weight)
        nn.init.zeros_(module.norm2.weight)
