"""Convolutions of the heads: with normalisation, and over maps of several resolutions at once."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class ConvNormReLU(nn.Module):
    """Convolution that keeps the size, batch normalisation, ReLU.

    Args:
        in_channels: of the input.
        channels: of the output.
        kernel_size: side of the kernel, odd.
    """

    def __init__(self, in_channels: int, channels: int, kernel_size: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Float[Tensor, "b _ h w"]) -> Float[Tensor, "b _ h w"]:
        """Map of the same size."""
        return F.relu(self.bn(self.conv(x)))


class Fusion(ConvNormReLU):
    """A 3 × 3 convolution over maps that are enlarged to the first one's size and joined, without doing either.

    Enlarging and convolving are both linear, so every map can be mixed at its own resolution and enlarged afterwards:
    the same function, with a quarter of the multiplications for a map of half the size.

    Args:
        in_channels: channels of each map.
        channels: of the output.
    """

    def __init__(self, in_channels: Sequence[int], channels: int):
        super().__init__(sum(in_channels), channels, 3)
        self.in_channels = list(in_channels)

    def forward(self, maps: Sequence[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b _ h w"]:  # type: ignore[override]
        """Map of the first one's size."""
        size = (maps[0].shape[2], maps[0].shape[3])
        weights = self.conv.weight.split(self.in_channels, 1)
        x = F.conv2d(maps[0], weights[0], padding=1)
        for coarse, weight in zip(maps[1:], weights[1:], strict=True):
            x = x + convolve_enlarged(coarse, weight, size)
        return F.relu(self.bn(x))


def convolve_enlarged(
    x: Float[Tensor, "b c _ _"], weight: Float[Tensor, "o c 3 3"], size: tuple[int, int]
) -> Float[Tensor, "b o h w"]:
    """`conv2d(interpolate(x, size, mode="bilinear"), weight, padding=1)`, mixing channels before the map is enlarged.

    Each of the nine taps of the kernel mixes the channels of the coarse map; then a matrix along each axis enlarges the
    results, shifts them by the place of their tap, and adds them.

    Args:
        x: the coarse map.
        weight: of the convolution.
        size: height and width to enlarge to.
    """
    outputs = weight.shape[0]
    taps = weight.permute(0, 2, 3, 1).flatten(0, 2)[:, :, None, None]  # (o·3·3, c, 1, 1)
    mixed = F.conv2d(x, taps).unflatten(1, (outputs, 3, 3))  # (b, o, 3, 3, h', w')
    mixed = mixed.permute(0, 1, 2, 4, 3, 5).flatten(4).flatten(2, 3)  # (b, o, 3·h', 3·w')
    down, across = (shifted_enlargement(*lengths, like=mixed) for lengths in zip(x.shape[2:], size, strict=True))
    return down @ mixed @ across.mT  # (b, o, h, w)


def shifted_enlargement(coarse: int, fine: int, like: Tensor) -> Float[Tensor, "{fine} 3*{coarse}"]:
    """Matrix that enlarges three rows of numbers linearly, and adds them shifted by 1, 0 and -1, zeros coming in.

    Args:
        coarse: length of a row.
        fine: length to enlarge it to.
        like: a tensor of the wanted type and device.
    """
    identity = torch.eye(coarse, dtype=torch.promote_types(like.dtype, torch.float32), device=like.device)
    rows = F.interpolate(identity[None], size=fine, mode="linear")[0]  # (coarse, fine)
    padded = F.pad(rows, (1, 1))
    return torch.cat([padded[:, tap : tap + fine] for tap in range(3)]).mT.to(like.dtype)
