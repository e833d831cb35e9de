"""Scaled cosine window attention with log-spaced continuous position bias (arXiv:2111.09883, sections 3.2 and 3.3)."""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .windows import Size, Windows


class ContinuousPositionBias(nn.Sequential):
    """Bias between 0 and 16 of each offset in a window, by a small network of the offset's logarithm (eq. 3 and 4).

    Args:
        num_axes: axes of the grid.
        num_heads: attention heads.
        hidden_dim: width of the network.
    """

    def __init__(self, num_axes: int, num_heads: int, hidden_dim: int = 512):
        super().__init__(nn.Linear(num_axes, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, num_heads, bias=False))

    def forward(self, window: Size, trained_window: Size) -> Float[Tensor, "heads n n"]:  # type: ignore[override]
        """Bias of every pair of slots of a window, in float32 or better.

        Args:
            window: slots along each axis.
            trained_window: window of the training, the unit in which offsets are measured.
        """
        return pairwise(self.table(window, trained_window), window)

    def table(self, window: Size, trained_window: Size) -> Float[Tensor, "heads ..."]:
        """Bias of every offset in a window, (heads, 2·w1 - 1, …, 2·wn - 1); arguments as those of `forward`."""
        weight = [*self.parameters(), torch.empty(0, device="cpu")][0]  # quantised layers have none
        device, dtype = weight.device, torch.promote_types(weight.dtype, torch.float32)
        x = self.spaced(window, trained_window, device).to(dtype)
        with full_precision(device):
            for layer in self:
                if isinstance(layer, nn.Linear):
                    x = F.linear(x, *(w.to(dtype) for w in (layer.weight, layer.bias) if w is not None))
                else:
                    x = layer(x)
            return 16 * torch.sigmoid(x).movedim(-1, 0)

    @staticmethod
    def spaced(window: Size, trained_window: Size, device: torch.device) -> Float[Tensor, "*pairs n"]:
        """Logarithms of all offsets (2·w1 - 1, …, 2·wn - 1, n), whose unit is 8, in float32 as in every release."""
        steps = [torch.arange(1 - w, w, device=device, dtype=torch.float32) for w in window]
        steps = [8 * step / max(w - 1, 1) for step, w in zip(steps, trained_window, strict=True)]
        offsets = torch.stack(torch.meshgrid(*steps, indexing="ij"), -1)
        return offsets.sign() * torch.log2(1 + offsets.abs()) / math.log2(8)


def pairwise(table: Float[Tensor, "heads ..."], window: Size) -> Float[Tensor, "heads n n"]:
    """Bias of each pair (i, j) of slots: entry i - j of the table, which may be that of a larger window."""
    n = len(window)
    for axis, w in enumerate(window, 1):
        table = table.narrow(axis, (table.shape[axis] + 1) // 2 - w, 2 * w - 1)  # offsets 1 - w … w - 1
        table = table.unfold(axis, w, 1)  # [a, …, i] is offset a + i + 1 - w, so j = w - 1 - a
    table = table.flip(tuple(range(1, n + 1)))  # (h, j1, …, jn, i1, …, in)
    return table.flatten(n + 1).flatten(1, n).transpose(1, 2).contiguous()


class WindowAttention(nn.Module):
    """Multi-head attention within windows; similarity is the cosine over a learnt temperature, plus the bias (eq. 2).

    Args:
        dim: channels.
        num_heads: attention heads.
        num_axes: axes of the grid.
        trained_window: window of the training, the unit of the position bias.
    """

    def __init__(self, dim: int, num_heads: int, num_axes: int, trained_window: Size):
        super().__init__()
        self.num_heads = num_heads
        self.trained_window = trained_window
        self.logit_scale = nn.Parameter(torch.full((num_heads, 1, 1), math.log(10)))
        self.cpb_mlp = ContinuousPositionBias(num_axes, num_heads)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim))
        self.v_bias = nn.Parameter(torch.zeros(dim))
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "b *grid c"], windows: Windows) -> Float[Tensor, "b *grid c"]:
        """Attention of every token to the tokens of its window."""
        return self.proj(self.attend(self.qkv(x), windows))

    def attend(self, qkv: Float[Tensor, "b *grid c3"], windows: Windows) -> Float[Tensor, "b *grid c"]:
        """Attention on the output of `qkv`, whose bias is added here, before `proj`."""
        tokens = (qkv + self.qkv_bias().to(qkv.dtype)).flatten(1, -2)  # (B, S, 3·C)
        heads = 3, self.num_heads, qkv.shape[-1] // (3 * self.num_heads)
        q, k, v = windows.gather(tokens).unflatten(-1, heads).permute(3, 0, 1, 4, 2, 5)  # (B, W, h, N, d) each
        bias = self.cpb_mlp(windows.shape, self.trained_window)
        with full_precision(qkv.device):
            context = window_attention(q, k, v, self.scale(), bias, windows.filled)
        return windows.scatter(context.transpose(2, 3).flatten(3).to(qkv.dtype)).unflatten(1, qkv.shape[1:-1])

    def qkv_bias(self) -> Float[Tensor, " _"]:
        """Bias of queries, keys, which have none, and values."""
        return torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])

    def scale(self) -> Float[Tensor, "heads 1 1"]:
        """1 / tau of each head, tau being at least 0.01."""
        return self.logit_scale.clamp(max=math.log(100)).exp()


def window_attention(
    q: Float[Tensor, "b w h n d"],
    k: Float[Tensor, "b w h n d"],
    v: Float[Tensor, "b w h n d"],
    scale: Float[Tensor, "h 1 1"],
    bias: Float[Tensor, "h n n"],
    filled: Bool[Tensor, "w n"],
) -> Float[Tensor, "b w h n d"]:
    """Scaled cosine attention (eq. 2), in float32 or better: what every engine must equal.

    Args:
        q: queries.
        k: keys.
        v: values.
        scale: 1 / tau of each head.
        bias: position bias of every pair of slots.
        filled: which slots have a token; no query looks at another.
    """
    q, k, v = (x.to(torch.promote_types(x.dtype, torch.float32)) for x in (q, k, v))
    cosine = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT
    scores = cosine * scale.to(q.dtype) + bias.to(q.dtype) + torch.where(filled, 0.0, -1e30).to(q.dtype)[:, None, None]
    return scores.softmax(-1) @ v


def full_precision(device: torch.device) -> AbstractContextManager:
    """Switch autocast off where it is on; the meta device has none."""
    on = device.type != "meta" and torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if on else nullcontext()
