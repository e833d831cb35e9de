"""Convolutions of the heads: with normalisation, and over maps of several resolutions."""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from swinv2.windows import is_transformed

SIZES = 32  # pairs of lengths whose matrices are kept


class ConvNormReLU(nn.Module):
    """Size-preserving convolution, batch normalisation and ReLU.

    Args:
        in_channels: channels of the input.
        channels: channels of the output.
        kernel_size: side of the kernel, odd.
    """

    def __init__(self, in_channels: int, channels: int, kernel_size: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Float[Tensor, "b _ h w"]) -> Float[Tensor, "b _ h w"]:
        """Convolve, normalise and rectify a map; height and width stay."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Fusion(ConvNormReLU):
    """Convolution, 3 × 3, of maps upsampled to the first one's size and concatenated, computed without either.

    Upsampling and convolution are both linear, so the channels of every map can be mixed at its own resolution and
    upsampled afterwards: the same function, with a quarter of the multiplications for a map of half the size.

    Args:
        in_channels: channels of each map.
        channels: channels of the output.
    """

    def __init__(self, in_channels: Sequence[int], channels: int):
        super().__init__(sum(in_channels), channels, 3)
        self.in_channels = list(in_channels)

    def forward(  # type: ignore[override]
        self, maps: Sequence[Float[Tensor, "b _ _ _"]], rows: tuple[int, int] | None = None
    ) -> Float[Tensor, "b _ _ w"]:
        """Maps to one map of the first one's size.

        Args:
            maps: feature maps, finest first.
            rows: rows of the result to compute, the first and the one after the last; None for all.
        """
        size = (maps[0].shape[2], maps[0].shape[3])
        first, last = rows or (0, size[0])
        weights = self.conv.weight.split(self.in_channels, 1)
        above, below = max(first - 1, 0), min(last + 1, size[0])  # rows that the kernel covers
        x = F.conv2d(maps[0][:, :, above:below], weights[0], padding=1)[:, :, first - above :][:, :, : last - first]
        for coarse, weight in zip(maps[1:], weights[1:], strict=True):
            x = x + convolve_enlarged(coarse, weight, size, (first, last))
        return F.relu(self.bn(x), inplace=True)


def convolve_enlarged(
    x: Float[Tensor, "b c _ _"], weight: Float[Tensor, "o c 3 3"], size: tuple[int, int], rows: tuple[int, int]
) -> Float[Tensor, "b o _ _"]:
    """`conv2d(interpolate(x, size, mode="bilinear"), weight, padding=1)`, mixing channels before the upsampling.

    Each of the nine taps of the kernel mixes the channels of the coarse map; then a matrix along each axis upsamples
    the results, shifts them by the position of their tap, and adds them. Everything is channels last.

    Args:
        x: the coarse map.
        weight: weight of the convolution.
        size: height and width to upsample to.
        rows: rows of the result, the first and the one after the last.
    """
    coarse_rows, coarse_columns = x.shape[2:]
    part = slice(*seen(rows, size[0], coarse_rows))
    down = shifted_enlargement(coarse_rows, size[0], x)[:, slice(*rows), part]  # (3, h, h')
    across = shifted_enlargement(coarse_columns, size[1], x)  # (3, w, w')
    taps = weight.permute(2, 3, 0, 1).flatten(1, 2)  # (3, 3·o, c)
    x = x[:, :, part].permute(0, 2, 3, 1)  # (b, h', w', c)
    lines = zip(down, taps, strict=True)
    stretched = torch.stack([torch.einsum("hk,bkn->bhn", line, F.linear(x, tap).flatten(2)) for line, tap in lines])
    stretched = stretched.sum(0).unflatten(2, (coarse_columns * 3, -1))  # (b, h, w'·3, o)
    return (across.permute(1, 2, 0).flatten(1) @ stretched).permute(0, 3, 1, 2)  # (b, o, h, w)


def seen(rows: tuple[int, int], fine: int, coarse: int) -> tuple[int, int]:
    """Rows of a coarse map, first and one after the last, that a 3 × 3 kernel reads for rows of the upsampled map.

    Args:
        rows: rows of the upsampled map, the first and the one after the last.
        fine: height of the upsampled map.
        coarse: height of the coarse map.
    """
    above, below = ((row + 0.5) * coarse / fine - 0.5 for row in (rows[0] - 1, rows[1]))
    return max(math.floor(above), 0), min(math.floor(below) + 2, coarse)


def shifted_enlargement(coarse: int, fine: int, like: Tensor) -> Float[Tensor, "3 {fine} {coarse}"]:
    """Matrices that upsample a row of numbers linearly and shift it by 1, 0 and -1, padding with zeros.

    Those of the last `SIZES` pairs of lengths are kept, unless tensors are traced or transformed.

    Args:
        coarse: length of a row.
        fine: length to upsample it to.
        like: tensor of the wanted dtype and device.
    """
    is_plain = type(like) is Tensor and not is_transformed()
    return (kept_enlargement if is_plain else new_enlargement)(coarse, fine, like.dtype, like.device)


def new_enlargement(
    coarse: int, fine: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "3 {fine} {coarse}"]:
    """`shifted_enlargement`, computed."""
    identity = torch.eye(coarse, dtype=torch.promote_types(dtype, torch.float32), device=device)
    rows = F.interpolate(identity[None], size=fine, mode="linear")[0]  # (coarse, fine)
    padded = F.pad(rows, (1, 1))
    return torch.stack([padded[:, tap : tap + fine].mT for tap in range(3)]).to(dtype)


@lru_cache(SIZES)
def kept_enlargement(
    coarse: int, fine: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "3 {fine} {coarse}"]:
    """`shifted_enlargement`, computed once, for training and evaluation."""
    with torch.inference_mode(False), torch.no_grad():
        return new_enlargement(coarse, fine, dtype, device)
