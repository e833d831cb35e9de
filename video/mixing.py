"""Mixtures of the clips of a batch: mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899)."""

import torch
from jaxtyping import Float, Float32, Int64, Shaped
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import Video


class Mixing(nn.Module):
    """Mixes each clip of a training batch with the one before it, in one way for the whole batch.

    Mixup blends the two in all pixels; CutMix puts a rectangle of one into the other, at the same place in all frames.
    With both, either is drawn as often. It draws from torch's random numbers, so a task that calls it within its
    training step gets the same mixtures when a run is resumed.

    Args:
        num_classes: how many classes the labels count.
        mixup_alpha: parameter of the Beta distribution that shares are drawn from, e.g. 0.8; 0 for no mixup.
        cutmix_alpha: likewise for CutMix, e.g. 1.0.

    Raises:
        ValueError: a negative parameter, or none above 0.
    """

    def __init__(self, num_classes: int, mixup_alpha: float = 0.8, cutmix_alpha: float = 1.0) -> None:
        super().__init__()
        if min(mixup_alpha, cutmix_alpha) < 0 or max(mixup_alpha, cutmix_alpha) == 0:
            raise ValueError(
                f"mixup_alpha {mixup_alpha} and cutmix_alpha {cutmix_alpha}: give numbers from 0, one of them above 0, "
                "e.g. 0.8 and 1.0."
            )
        given = ((v2.MixUp, mixup_alpha), (v2.CutMix, cutmix_alpha))
        self.kinds = nn.ModuleList(kind(alpha=alpha, num_classes=num_classes) for kind, alpha in given if alpha > 0)

    def forward(
        self, clips: Shaped[Tensor, "b 3 t h w"], labels: Int64[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b 3 t h w"], Float32[Tensor, "b k"]]:
        """Mixed clips, from 0 to 1, and the share of each class in them.

        Args:
            clips: uint8, or float from 0 to 1.
            labels: their classes.
        """
        kind = self.kinds[int(torch.randint(len(self.kinds), ()))]
        mixed, shares = kind(Video(F.to_dtype(clips, torch.float32, scale=True)), labels)
        return mixed.as_subclass(Tensor), shares
