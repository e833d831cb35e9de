"""Mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899) of the images or clips of a batch."""

import torch
from jaxtyping import Float, Float32, Int64, Shaped
from torch import Tensor, nn
from torch.distributions import Beta
from torch.nn.functional import one_hot
from torchvision.transforms.v2 import functional as F

from ..imaging.resize import random_integer


class Mixing(nn.Module):
    """Mixes the first image of a batch with the last, the second with the last but one, and so on, by mixup or CutMix.

    Mixup blends the two in all pixels; CutMix puts a rectangle of one into the other, at the same place in all frames
    of a clip. If both are on, each batch draws one of them, either as often. The official training does the same, by
    timm's `Mixup` in batch mode; label smoothing is left to `cross_entropy` with the shares as targets. Random numbers
    are torch's on the CPU, so a task that calls it within its training step gets the same mixtures after resuming.

    Args:
        num_classes: number of classes.
        mixup_alpha: parameter of the Beta distribution that shares are drawn from, e.g. 0.8; 0 for no mixup.
        cutmix_alpha: the same parameter for CutMix, e.g. 1.0; 0 for no CutMix.

    Raises:
        ValueError: a parameter is negative, or both are 0.
    """

    def __init__(self, num_classes: int, mixup_alpha: float = 0.8, cutmix_alpha: float = 1.0) -> None:
        super().__init__()
        if min(mixup_alpha, cutmix_alpha) < 0 or max(mixup_alpha, cutmix_alpha) == 0:
            raise ValueError(
                f"mixup_alpha {mixup_alpha} and cutmix_alpha {cutmix_alpha}: give numbers from 0, one of them above 0, "
                "e.g. 0.8 and 1.0."
            )
        self.num_classes = num_classes
        given = ((mixup, mixup_alpha), (cutmix, cutmix_alpha))
        self.kinds = [(kind, Beta(alpha, alpha)) for kind, alpha in given if alpha > 0]

    def forward(
        self, images: Shaped[Tensor, "b 3 *size"], labels: Int64[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b 3 *size"], Float32[Tensor, "b k"]]:
        """Mixed images or clips, and the share of each class in them; the inputs are not changed.

        Args:
            images: uint8, converted to float32 from 0 to 1, or float, whose range and precision stay.
            labels: class of each.
        """
        kind, shares = self.kinds[random_integer(0, len(self.kinds) - 1)]
        dtype = images.dtype if images.is_floating_point() else torch.float32
        mixed, share = kind(F.to_dtype(images, dtype, scale=True), float(shares.sample()))
        own = one_hot(labels, self.num_classes).float()
        return mixed, share * own + (1 - share) * own.flip(0)


def mixup(images: Float[Tensor, "b c *size"], share: float) -> tuple[Float[Tensor, "b c *size"], float]:
    """Each image blended with its partner, and the image's own share, as given."""
    return images.flip(0).mul_(1 - share).add_(images, alpha=share), share


def cutmix(images: Float[Tensor, "b c *size"], share: float) -> tuple[Float[Tensor, "b c *size"], float]:
    """Each image with a rectangle of its partner pasted in, and the image's own share of the area.

    Args:
        images: a batch.
        share: image's own share of the area, from 0 to 1, before the rectangle is cut off at the border.
    """
    part, mixed = [], images.clone()
    for length in images.shape[-2:]:
        middle, side = random_integer(0, length - 1), int(length * (1 - share) ** 0.5)
        part.append(slice(max(middle - side // 2, 0), min(middle + (side + 1) // 2, length)))
    mixed[..., part[0], part[1]] = images.flip(0)[..., part[0], part[1]]
    height, width = images.shape[-2:]
    return mixed, 1 - (part[0].stop - part[0].start) * (part[1].stop - part[1].start) / (height * width)
