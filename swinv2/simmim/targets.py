"""What SwinV2 is to predict: pixels relative to their neighbourhood, as in the authors' pre-training of SwinV2."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def local_statistics(
    images: Float[Tensor, "b c h w"], size: int
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c h w"]]:
    """Mean and standard deviation of the square neighbourhood of each pixel, of what lies within the image.

    The variance is that of a sample (n - 1), not below 0, plus 1e-6.

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
    """Mean over rows, then over columns: within an image a neighbourhood is a rectangle, too."""
    rows = F.avg_pool2d(images, (size, 1), 1, (size // 2, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, size), 1, (0, size // 2), count_include_pad=False)


def _within(length: int, size: int, like: Tensor) -> Float[Tensor, " length"]:
    """How many of the `size` places around each of `length` places lie within them."""
    place = torch.arange(length, device=like.device, dtype=like.dtype)
    return (place + size // 2).clamp(max=length - 1) - (place - size // 2).clamp(min=0) + 1
