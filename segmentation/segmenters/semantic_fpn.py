"""Semantic FPN: a light segmentation head (Panoptic FPN, arXiv:1901.02446, section 4.1)."""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork

from segmentation.segmenters.layers import ConvNormReLU
from segmentation.segmenters.segmenter import Segmenter, channels_of
from swinv2 import BackboneConfig
from swinv2.imaging.normalize import check_num_classes


class SemanticFPN(Segmenter):
    """SwinV2 with the head of Semantic FPN, which with a tiny backbone has a seventh of the parameters of UPerNet's.

    Args:
        backbone: the feature extractor: model, window, weights, …
        num_classes: number of classes; a recipe may leave it to the data or the checkpoint.
        fpn_channels: channels of the pyramid.
        channels: channels of the maps that are added up.
        dropout: probability of dropping a channel before the classifier.

    Raises:
        ValueError: the number of classes is missing or not positive.
    """

    def __init__(
        self,
        backbone: BackboneConfig,
        num_classes: int | None = None,
        fpn_channels: int = 256,
        channels: int = 128,
        dropout: float = 0.1,
    ):
        classes, built = check_num_classes(num_classes), backbone.build()
        super().__init__(built, SemanticFPNHead(channels_of(built), classes, fpn_channels, channels, dropout), classes)


class SemanticFPNHead(nn.Module):
    """Head that convolves and doubles each level of a feature pyramid up to the finest one's size, then adds them all.

    Args:
        in_channels: channels of the feature maps, finest first.
        num_classes: number of classes.
        fpn_channels: channels of the pyramid.
        channels: channels of the maps that are added up.
        dropout: probability of dropping a channel before the classifier.
    """

    def __init__(self, in_channels: Sequence[int], num_classes: int, fpn_channels: int, channels: int, dropout: float):
        super().__init__()
        self.fpn = FeaturePyramidNetwork(list(in_channels), fpn_channels)
        self.scale_heads = nn.ModuleList(
            nn.ModuleList(ConvNormReLU(channels if i else fpn_channels, channels, 3) for i in range(max(level, 1)))
            for level in range(len(in_channels))
        )
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: Sequence[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b classes h w"]:
        """Feature maps, finest first, to logits of the finest one's size."""
        sizes = [x.shape[2:] for x in features]
        maps = self.fpn({str(level): x for level, x in enumerate(features)}).values()
        total = []
        for level, (x, convs) in enumerate(zip(maps, self.scale_heads, strict=True)):
            for step, conv in enumerate(cast(nn.ModuleList, convs)):
                x = F.interpolate(conv(x), sizes[max(level - step - 1, 0)], mode="bilinear")
            total.append(x)
        return self.conv_seg(self.dropout(torch.stack(total).sum(0)))
