"""Statistics for the targets of SwinV2's pre-training: pixels normalised by their neighbourhood."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def local_statistics(
    images: Float[Tensor, "b c h w"], size: int
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c h w"]]:
    """Mean and standard deviation of the square neighbourhood of each pixel, clipped to the image.

    The variance is unbiased (n - 1), at least 0, plus 1e-6.

    Args:
        images: any numbers.
        size: side of the neighbourhood, an odd number of pixels.
    """
    mean = _local_mean(images, size)
    height, width = (_within(side, size, images) for side in images.shape[2:])
    count = height[:, None] * width  # (h, w)
    variance = (_local_mean(images.square(), size) - mean.square()) * (count / (count - 1))
    return mean, (variance.clamp(min=0) + 1e-6).sqrt()


def _local_mean(images: Float[Tensor, "b c h w"], size: int) -> Float[Tensor, "b c h w"]:
    """Mean of each neighbourhood, computed by axis, since its part within the image is a rectangle."""
    rows = F.avg_pool2d(images, (size, 1), 1, (size // 2, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, size), 1, (0, size // 2), count_include_pad=False)


def _within(length: int, size: int, like: Tensor) -> Float[Tensor, " length"]:
    """Number of positions within the axis, out of `size` around each of its `length` positions."""
    place = torch.arange(length, device=like.device, dtype=like.dtype)
    return (place + size // 2).clamp(max=length - 1) - (place - size // 2).clamp(min=0) + 1
