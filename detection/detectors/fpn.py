"""Feature pyramid network: backbone features to maps of equal channels (arXiv:1612.03144)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from detection.detectors.global_attention import GlobalAttention


class FPN(FeaturePyramidNetwork):
    """torchvision's feature pyramid on lists of maps, with a coarser level (P6) by subsampling, as in the paper.

    Maps may have any size: the top-down path doubles each map and cuts it to the size of the next.

    Args:
        in_channels: channels of each backbone map, finest first.
        strides: stride of each backbone map in pixels, finest first.
        channels: channels of every level of the pyramid.
        global_attention_heads: heads of a `GlobalAttention` on the last backbone map, before the pyramid; 0 for none.
        drop_path_rate: stochastic-depth rate of that attention.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        strides: Sequence[int],
        channels: int = 256,
        global_attention_heads: int = 0,
        drop_path_rate: float = 0.0,
    ):
        super().__init__(list(in_channels), channels, extra_blocks=LastLevelMaxPool())
        self.channels = channels
        self.strides = [*strides, 2 * strides[-1]]
        self.attention: nn.Module = nn.Identity()
        if global_attention_heads:
            self.attention = GlobalAttention(in_channels[-1], global_attention_heads, drop_path_rate)

    def forward(self, features: Sequence[Float[Tensor, "b _ _ _"]]) -> list[Float[Tensor, "b c _ _"]]:
        """Backbone maps, finest first, to as many pyramid levels and one more, each of `channels` channels."""
        maps = [*features[:-1], self.attention(features[-1])]
        return list(super().forward({str(level): x for level, x in enumerate(maps)}).values())
