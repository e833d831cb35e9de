"""Layers beside the attention: patch embedding, patch merging, layer norm, MLP and stochastic depth (drop path)."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .windows import Size

CONVOLUTION: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class LayerNorm(nn.LayerNorm):
    """Layer normalisation in the type of its weights, so that sums stay exact under autocast."""

    def forward(self, x: Float[Tensor, "*grid c"]) -> Float[Tensor, "*grid c"]:
        """Normalise the last axis."""
        return super().forward(x.to(torch.promote_types(x.dtype, self.weight.dtype)))


class StochasticDepth(nn.Module):
    """In training, leave out a residual branch for whole images at random and scale up the others (arXiv:1603.09382).

    Args:
        rate: probability of leaving out, in [0, 1).
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(
        self, x: Float[Tensor, "b *grid c"], factors: Float[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b *grid c"]:
        """Scale each image by 0 or by 1 / (1 - rate), as drawn before or, if `factors` is None, now."""
        factors = self.factors(len(x), x.device) if factors is None else factors
        return x if factors is None else x * factors.to(x.dtype).view(-1, *[1] * (x.ndim - 1))

    def factors(self, images: int, device: torch.device) -> Float[Tensor, " images"] | None:
        """0 or 1 / (1 - rate) for each image; None where nothing is left out."""
        if not self.training or self.rate == 0:
            return None
        return (torch.rand(images, device=device) >= self.rate).float() / (1 - self.rate)


def drawn(drop_path: nn.Module, x: Float[Tensor, "b *grid c"]) -> tuple[Float[Tensor, " b"], ...]:
    """What `StochasticDepth` takes besides its branch, drawn ahead; nothing for another module.

    A block that is computed again then leaves out the same images, also on devices whose random state PyTorch's
    checkpointing does not restore (MPS).
    """
    factors = drop_path.factors(len(x), x.device) if type(drop_path) is StochasticDepth else None
    return () if factors is None else (factors,)


class PatchEmbed(nn.Module):
    """Images or clips to tokens.

    Args:
        in_channels: channels of the input.
        dim: channels of the tokens.
        patch_size: pixels (and frames) of a patch along each axis.
    """

    def __init__(self, in_channels: int, dim: int, patch_size: Size):
        super().__init__()
        self.patch_size = patch_size
        self.proj = CONVOLUTION[len(patch_size)](in_channels, dim, patch_size, stride=patch_size)
        self.norm = LayerNorm(dim)

    def forward(self, x: Float[Tensor, "b channels *size"]) -> Float[Tensor, "b *grid c"]:
        """Embed patches; incomplete ones at the end are filled up with zeros.

        Raises:
            ValueError: wrong number of axes or channels, or an image smaller than one patch.
        """
        axes, channels, size = len(self.patch_size), self.proj.in_channels, [int(s) for s in x.shape[2:]]
        if len(size) != axes or x.shape[1] != channels:
            raise ValueError(
                f"the model takes (batch, {channels}, {axes} axes of pixels), got {tuple(x.shape)}; "
                "reshape the input, or build the model with other in_channels or patch_size."
            )
        if any(s < p for s, p in zip(size, self.patch_size, strict=True)):
            raise ValueError(
                f"an input of {tuple(size)} is smaller than one patch of {self.patch_size}; enlarge it first."
            )
        x = padded(x, missing(size, self.patch_size))
        for axis, patch in enumerate(self.patch_size):
            x = x.unflatten(2 + 2 * axis, (-1, patch))  # (B, channels, S1, p1, …, Sn, pn)
        x = x.permute(0, *range(2, 2 * axes + 2, 2), 1, *range(3, 2 * axes + 2, 2)).flatten(axes + 1)
        return self.norm(F.linear(x, self.proj.weight.flatten(1), self.proj.bias))  # the convolution as one product


class PatchMerging(nn.Module):
    """The tokens of each block of `stride` into one of twice the width (arXiv:2103.14030, section 3.1), then a norm.

    Args:
        dim: channels of the tokens that come in.
        stride: tokens merged along each axis.
    """

    def __init__(self, dim: int, stride: Size):
        super().__init__()
        self.stride = stride
        self.reduction = nn.Linear(math.prod(stride) * dim, 2 * dim, bias=False)
        self.norm = LayerNorm(2 * dim)

    def forward(self, x: Float[Tensor, "b *grid c"]) -> Float[Tensor, "b *merged 2*c"]:
        """Merge tokens; incomplete blocks at the end are filled up with zeros."""
        n = len(self.stride)
        x = padded(x, [0, 0, *missing([int(s) for s in x.shape[1:-1]], self.stride)])
        for axis, stride in enumerate(self.stride):
            x = x.unflatten(1 + 2 * axis, (-1, stride))  # (B, S1/k1, k1, …, Sn/kn, kn, C)
        x = x.permute(0, *range(1, 2 * n, 2), *range(2 * n, 0, -2), -1)  # first axis fastest, as in released weights
        return self.norm(self.reduction(x.flatten(n + 1)))


class Mlp(nn.Module):
    """Two linear layers with a GELU between.

    Args:
        dim: channels in and out.
        hidden_dim: channels between.
    """

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Float[Tensor, "... c"]) -> Float[Tensor, "... c"]:
        """Each token by itself."""
        return self.fc2(F.gelu(self.fc1(x)))


def padded(x: Tensor, amounts: Sequence[int]) -> Tensor:
    """`F.pad`, which copies even if nothing is missing; compiled code, which does not, serves all sizes."""
    return F.pad(x, amounts) if torch.compiler.is_compiling() or any(amounts) else x


def missing(size: Sequence[int], multiple: Size) -> list[int]:
    """`F.pad` amounts that bring each axis of `size` to a multiple, at its end."""
    return [p for s, m in zip(reversed(size), reversed(multiple), strict=True) for p in (0, -s % m)]
