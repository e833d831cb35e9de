"""Global self-attention over a feature map: the extra layer of HTC++ (arXiv:2103.14030, A2.2)."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from swinv2.attention import full_precision
from swinv2.backbone import initialise
from swinv2.layers import LayerNorm, Mlp

MLP_RATIO = 4


class GlobalAttention(nn.Module):
    """Block of cosine attention and MLP over all tokens of a map, post-norm like those of SwinV2.

    Its branches start at zero, so that adding it does not change a detector's output. There is no position bias:
    between all tokens of a large map it would take more memory than the rest of the detector.

    Args:
        dim: channels of the map.
        num_heads: attention heads.
        drop_path_rate: stochastic-depth rate of both branches.

    Raises:
        ValueError: the channels are no multiple of the heads.
    """

    def __init__(self, dim: int, num_heads: int, drop_path_rate: float = 0.0):
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ValueError(
                f"the {dim} channels of the last map cannot be shared by {num_heads} heads; change "
                "global_attention_heads, e.g. to the heads of the backbone's last stage."
            )
        self.num_heads = num_heads
        self.logit_scale = nn.Parameter(torch.full((num_heads, 1, 1), math.log(10)))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm1 = LayerNorm(dim)
        self.mlp = Mlp(dim, MLP_RATIO * dim)
        self.norm2 = LayerNorm(dim)
        self.drop_path = StochasticDepth(drop_path_rate, "row")
        self.apply(initialise)
        for norm in (self.norm1, self.norm2):
            nn.init.zeros_(norm.weight)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Map to map of the same shape, each position attending to all others."""
        tokens = x.flatten(2).mT  # (b, h·w, c)
        tokens = tokens + self.drop_path(self.norm1(self.attend(tokens)))
        tokens = tokens + self.drop_path(self.norm2(self.mlp(tokens)))
        return tokens.mT.unflatten(2, x.shape[2:])

    def attend(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Scaled cosine attention (arXiv:2111.09883, eq. 2, without the bias), in float32 as in window attention."""
        q, k, v = self.qkv(tokens).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)  # (b, heads, n, d)
        with full_precision(tokens.device):
            scale = self.logit_scale.clamp(max=math.log(100)).exp()
            q, k = F.normalize(q.float(), dim=-1) * scale, F.normalize(k.float(), dim=-1)
            out = F.scaled_dot_product_attention(q, k, v.float(), scale=1.0)
        return self.proj(out.transpose(1, 2).flatten(2).to(tokens.dtype))
