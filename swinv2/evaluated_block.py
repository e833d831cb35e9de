"""A block with packed weights as a CPU evaluates it: operator after operator, with nothing to ask in between."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .attention import HALVES, WindowAttention
from .attention_core import attend, attend_in_blocks, is_eager, of_length
from .layers import LayerNorm, Mlp
from .windows import Cut


class EvaluatedBlock:
    """What a block computes without gradients, by weights as they were when this was made.

    Calling a block's modules one by one takes some percent of the time of a small image.

    Args:
        attn: the attention, its linear layers packed.
        norm1: the norm that follows it.
        mlp: the MLP, its linear layers packed.
        norm2: the norm that follows it.
        enorm: what follows at the end.
    """

    def __init__(self, attn: WindowAttention, norm1: LayerNorm, mlp: Mlp, norm2: LayerNorm, enorm: nn.Module):
        self._attn = attn
        self._qkv, self._proj = attn.qkv.product(attn.qkv_bias()), attn.proj.product(attn.proj.bias)
        self._fc1, self._fc2 = mlp.fc1.product(mlp.fc1.bias, gelu=True), mlp.fc2.product(mlp.fc2.bias)
        self._norm1, self._norm2 = (
            (norm.normalized_shape, norm.weight, norm.bias, norm.eps) for norm in (norm1, norm2)
        )
        self._scale = attn.scale().float()
        self._lengths = torch.stack([self._scale, torch.ones_like(self._scale)])
        self._enorm = enorm
        self._dtype = attn.qkv.weight.dtype

    def takes(self, x: Float[Tensor, "tokens c"]) -> bool:
        """Whether it is made for such tokens, and operators run one by one."""
        return x.dtype == self._dtype and is_eager() and not torch.is_autocast_enabled("cpu")

    def __call__(
        self, x: Float[Tensor, "tokens c"], cut: Cut, out: Float[Tensor, "tokens c"] | None = None
    ) -> Float[Tensor, "tokens c"]:
        """Tokens in the order of the cut, written to `out` if that is given."""
        context = self._attended(self._qkv(x).view(*x.shape[:1], 3, self._attn.num_heads, -1), cut)
        x = x + torch.layer_norm(self._proj(context), *self._norm1)
        return self._enorm(torch.add(x, torch.layer_norm(self._fc2(self._fc1(x)), *self._norm2), out=out))

    def _attended(self, qkv: Float[Tensor, "tokens 3 h d"], cut: Cut) -> Float[Tensor, "tokens c"]:
        """Scaled cosine attention (eq. 2), which writes over the queries and keys."""
        narrow = self._dtype in HALVES
        biases = self._attn.cpb_mlp(cut.shapes, self._attn.trained_window, self._dtype if narrow else None)
        if narrow:
            return attend_in_blocks(qkv, self._scale, cut.groups, biases)
        of_length(qkv[:, :2], self._lengths, in_place=True)
        return attend(qkv, cut.groups, biases)
