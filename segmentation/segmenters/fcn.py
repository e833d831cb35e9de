"""Auxiliary head: one convolution and a classifier on one feature map (FCN, arXiv:1411.4038)."""

from jaxtyping import Float
from torch import Tensor, nn

from segmentation.segmenters.layers import ConvNormReLU


class FCNHead(nn.Module):
    """Convolution and classifier on one feature map; parameters have mmsegmentation's names.

    Args:
        in_channels: channels of the feature map.
        num_classes: number of classes.
        channels: channels of the convolution.
        dropout: probability of dropping a channel before the classifier.
    """

    def __init__(self, in_channels: int, num_classes: int, channels: int = 256, dropout: float = 0.1):
        super().__init__()
        self.convs = nn.Sequential(ConvNormReLU(in_channels, channels, 3))
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)

    def forward(self, x: Float[Tensor, "b _ h w"]) -> Float[Tensor, "b classes h w"]:
        """Feature map to logits of the same size."""
        return self.conv_seg(self.dropout(self.convs(x)))
