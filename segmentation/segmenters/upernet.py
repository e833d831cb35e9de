"""UPerNet: pyramid pooling on the coarsest map, a feature pyramid, and fusion of its levels (arXiv:1807.10221)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segmentation.segmenters.fcn import FCNHead
from segmentation.segmenters.layers import ConvNormReLU, Fusion
from segmentation.segmenters.segmenter import Segmenter, channels_of
from swinv2 import BackboneConfig
from swinv2.imaging.normalize import check_num_classes

PLACES = 2**13  # positions of the finest map that a CPU fuses at a time in evaluation, which bounds memory


class UPerNet(Segmenter):
    """SwinV2 with UPerNet and an auxiliary FCN head, as in the paper's ADE20K experiments.

    Args:
        backbone: the feature extractor: model, window, weights, …
        num_classes: number of classes; a recipe may leave it to the data or the checkpoint.
        channels: channels of all maps in the head.
        pool_scales: sides of the grids that the coarsest map is pooled to.
        dropout: probability of dropping a channel before the classifier.
        auxiliary_channels: channels of the auxiliary head.
        auxiliary_weight: factor of the auxiliary head's loss; 0 for no such head.

    Raises:
        ValueError: the number of classes is missing or not positive.
    """

    def __init__(
        self,
        backbone: BackboneConfig,
        num_classes: int | None = None,
        channels: int = 512,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        dropout: float = 0.1,
        auxiliary_channels: int = 256,
        auxiliary_weight: float = 0.4,
    ):
        classes, built = check_num_classes(num_classes), backbone.build()
        widths = channels_of(built)
        head = UPerHead(widths, classes, channels, pool_scales, dropout)
        auxiliary = FCNHead(widths[-2], classes, auxiliary_channels, dropout) if auxiliary_weight else None
        super().__init__(built, head, classes, auxiliary, auxiliary_weight)


class UPerHead(nn.Module):
    """Head of UPerNet; parameters have mmsegmentation's names.

    Args:
        in_channels: channels of the feature maps, finest first.
        num_classes: number of classes.
        channels: channels of all maps in the head.
        pool_scales: sides of the grids that the coarsest map is pooled to.
        dropout: probability of dropping a channel before the classifier.
    """

    def __init__(
        self, in_channels: Sequence[int], num_classes: int, channels: int, pool_scales: Sequence[int], dropout: float
    ):
        super().__init__()
        *finer, coarsest = in_channels
        self.psp_modules = PyramidPooling(coarsest, channels, pool_scales)
        self.bottleneck = Fusion([coarsest] + [channels] * len(pool_scales), channels)
        self.lateral_convs = nn.ModuleList(ConvNormReLU(width, channels, 1) for width in finer)
        self.fpn_convs = nn.ModuleList(ConvNormReLU(channels, channels, 3) for _ in finer)
        self.fpn_bottleneck = Fusion([channels] * len(in_channels), channels)
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: Sequence[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b classes h w"]:
        """Feature maps, finest first, to logits of the finest one's size."""
        top = self.bottleneck([features[-1], *self.psp_modules(features[-1])])
        levels = [top]  # coarsest first
        for i in reversed(range(len(self.lateral_convs))):
            top = self.lateral_convs[i](features[i]) + F.interpolate(top, features[i].shape[2:], mode="bilinear")
            levels.append(self.fpn_convs[i](top))
        height, width = features[0].shape[2:]
        in_bands = not self.training and features[0].device.type == "cpu"  # batch norm needs whole maps in training
        step = max(PLACES // width, 1) if in_bands else height
        bands = [(first, min(first + step, height)) for first in range(0, height, step)]
        return torch.cat([self.classify(levels[::-1], rows) for rows in bands], 2)

    def classify(
        self, levels: Sequence[Float[Tensor, "b c _ _"]], rows: tuple[int, int]
    ) -> Float[Tensor, "b classes _ w"]:
        """Logits of some rows (first, and one after the last) from the levels of the pyramid, finest first."""
        return self.conv_seg(self.dropout(self.fpn_bottleneck(levels, rows)))


class PyramidPooling(nn.ModuleList):
    """Average pooling to several grids, each with its own convolution (arXiv:1612.01105).

    Args:
        in_channels: channels of the map.
        channels: channels of each result.
        scales: sides of the grids.
    """

    def __init__(self, in_channels: int, channels: int, scales: Sequence[int]):
        super().__init__(
            nn.Sequential(nn.AdaptiveAvgPool2d(scale), ConvNormReLU(in_channels, channels, 1)) for scale in scales
        )

    def forward(self, x: Float[Tensor, "b _ _ _"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Pooled map for each scale, in the size of its grid.

        Raises:
            ValueError: a single image in training: batch normalisation of a 1 × 1 grid needs more.
        """
        if self.training and len(x) == 1 and any(type(module) is nn.BatchNorm2d for module in self.modules()):
            raise ValueError(
                "UPerNet learns from two images a step and device or more, got 1; raise data.batch_size, or train on "
                "several devices with trainer.sync_batchnorm."
            )
        return [pool(x) for pool in self]
