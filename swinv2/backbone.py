"""Swin Transformer V2 for images, video and other N-D grids (arXiv:2111.09883)."""

from collections.abc import Sequence
from typing import cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .attention import Spacing, WindowAttention
from .layers import CONVOLUTION, LayerNorm, PatchEmbed, PatchMerging
from .stage import Block, Recompute, Stage
from .windows import Fit, Size, Window, window_per_stage


class SwinTransformerV2(nn.Module):
    """Swin Transformer V2 with hierarchical features; the length of `patch_size` is the number of spatial axes.

    Windows are given as one number, one per axis, or one entry per stage; they change at any time by `set_window_size`.

    Args:
        patch_size: pixels of a patch along each axis, (4, 4) for images, (2, 4, 4) for video.
        window_size: window in tokens, at most.
        pretrained_window_sizes: window that the weights were trained with, the unit of the position bias; if None,
            `window_size`.
        merge_stride: shrinking along each axis between stages, all 2 if None; (1, 2, 2) keeps the frames of a video.
        in_channels: channels of the input.
        embed_dim: channels of the first stage, doubled by each later one.
        depths: blocks of each stage.
        num_heads: attention heads of each stage.
        mlp_ratio: hidden width of the MLPs, in multiples of the stage's channels.
        drop_path_rate: stochastic depth of the last block, growing linearly from 0 at the first.
        extra_norm_period: in each stage, blocks from one extra normalisation to the next; 0 for none, 6 for huge and
            giant.
        cpb_spacing: "log" for the position bias of the paper, "linear" for its ablation.
        shift: for each stage, whether every second block shifts its windows; in all stages if None.
        out_indices: stages whose features are given, finest first.
        frozen_stages: -1 to train everything, 0 to freeze the patch embedding, i to freeze the first i stages too.
        recompute: what the backward pass computes again, rather than keep it: nothing, the elementwise parts (on a
            CPU; elsewhere nothing), or whole blocks; one word, or one per stage.
        window_fit: "fixed" windows leave a remnant at the end of an axis, "balanced" ones share it evenly.

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
        cpb_spacing: Spacing = "log",
        shift: Sequence[bool] | None = None,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        recompute: Recompute | Sequence[Recompute] = "elementwise",
        window_fit: Fit = "fixed",
    ):
        super().__init__()
        axes, stages = len(patch_size), len(depths)
        stride = tuple(merge_stride or (2,) * axes)
        shift = shift or [True] * stages
        _check_lengths(patch_size, stride, depths, num_heads, shift)
        _check_stages(out_indices, frozen_stages, stages)
        _check_heads(embed_dim, num_heads)
        windows = window_per_stage(window_size, stages, axes, "window_size")
        trained = window_per_stage(pretrained_window_sizes or window_size, stages, axes, "pretrained_window_sizes")
        recomputed = [recompute] * stages if isinstance(recompute, str) else list(recompute)
        _check_recompute(recomputed, stages)
        drop_rates = torch.linspace(0, drop_path_rate, sum(depths), device="cpu").split(list(depths))

        dims = [embed_dim * 2**i for i in range(stages)]
        self.axes = axes
        self.out_indices = sorted(out_indices)
        self.channels = [dims[i] for i in self.out_indices]
        self.strides = [patch_size[-1] * stride[-1] ** i for i in self.out_indices]
        self.frozen_stages = frozen_stages
        self.patch_embed = PatchEmbed(in_channels, embed_dim, tuple(patch_size))
        self.layers = nn.ModuleList()
        for i, (dim, heads) in enumerate(zip(dims, num_heads, strict=True)):
            blocks = [
                Block(WindowAttention(dim, heads, axes, trained[i], cpb_spacing), dim, mlp_ratio, rate, extra)
                for rate, extra in zip(drop_rates[i].tolist(), _every(extra_norm_period, depths[i]), strict=True)
            ]
            merging = PatchMerging(dim, stride) if i + 1 < stages else None
            self.layers.append(Stage(blocks, merging, windows[i], window_fit, shift[i], recomputed[i]))
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
                norm = self.get_submodule(f"norm{i}")
                features.append(norm(x).movedim(-1, 1))
            x = x if stage.downsample is None else stage.downsample(x)
        return features

    @property
    def stages(self) -> list[Stage]:
        """The stages, finest first."""
        return cast(list[Stage], list(self.layers))

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
        return [stage.attentions[0].trained_window for stage in self.stages]

    def set_pretrained_window_sizes(self, pretrained_window_sizes: Window) -> None:
        """Say which windows the weights were trained with; needed only for weights that do not say so themselves.

        Args:
            pretrained_window_sizes: tokens, as one number, one per axis, or one entry per stage.

        Raises:
            ValueError: the numbers fit neither the axes nor the stages.
        """
        trained = window_per_stage(pretrained_window_sizes, len(self.layers), self.axes, "pretrained_window_sizes")
        for stage, window in zip(self.stages, trained, strict=True):
            for attention in stage.attentions:
                attention.trained_window = window

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


def _every(period: int, depth: int) -> list[bool]:
    """Which of `depth` blocks are the last of a full period."""
    return [period > 0 and i % period == 0 for i in range(1, depth + 1)]


def _check_lengths(
    patch_size: Sequence[int], stride: Size, depths: Sequence[int], num_heads: Sequence[int], shift: Sequence[bool]
) -> None:
    if len(patch_size) not in CONVOLUTION or len(stride) != len(patch_size):
        raise ValueError(
            f"patch_size and merge_stride need one number per axis, 1 to 3 of them, got {tuple(patch_size)} and "
            f"{stride}; use e.g. (4, 4) and (2, 2) for images, (2, 4, 4) and (1, 2, 2) for video."
        )
    if not len(depths) == len(num_heads) == len(shift):
        raise ValueError(
            f"depths, num_heads and shift need one entry per stage, got {tuple(depths)}, {tuple(num_heads)} and "
            f"{tuple(shift)}; use e.g. (2, 2, 6, 2), (3, 6, 12, 24) and None."
        )


def _check_stages(out_indices: Sequence[int], frozen_stages: int, stages: int) -> None:
    if not out_indices or any(i not in range(stages) for i in out_indices):
        raise ValueError(
            f"out_indices are stages from 0 to {stages - 1}, got {tuple(out_indices)}; use e.g. (0, 1, 2, 3)."
        )
    if frozen_stages not in range(-1, stages + 1):
        raise ValueError(f"frozen_stages is a number from -1 (train everything) to {stages}, got {frozen_stages}.")


def _check_recompute(recompute: Sequence[str], stages: int) -> None:
    if len(recompute) != stages or any(word not in get_args(Recompute) for word in recompute):
        raise ValueError(
            f"recompute is one of {', '.join(get_args(Recompute))}, or one of them for each of {stages} stages, got "
            f"{tuple(recompute)}; use e.g. block."
        )


def _check_heads(embed_dim: int, num_heads: Sequence[int]) -> None:
    for i, heads in enumerate(num_heads):
        if embed_dim * 2**i % heads:
            raise ValueError(
                f"the {embed_dim * 2**i} channels of stage {i} cannot be shared by {heads} heads; change num_heads."
            )
