"""Scaled cosine window attention with log-spaced continuous position bias (arXiv:2111.09883, sections 3.2 and 3.3)."""

import math
from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .engines.cpu.attention import (
    RecomputedAttention,
    attend,
    attend_in_blocks,
    attention,
    full_precision,
    is_eager,
    of_length,
    runs_of,
)
from .engines.cpu.packing import Linear, hooked, mark
from .engines.gpu.attention import grid_attention
from .windows import Cut, GridCut, Size

Spacing = Literal["log", "linear"]  # of the offsets that the position bias is a function of; linear is an ablation

HALVES = (torch.bfloat16, torch.float16)
KEPT = 2**22  # numbers of biases that are kept for windows of images of other sizes


class ContinuousPositionBias(nn.Sequential):
    """Bias between 0 and 16 of the offsets in a window, by a small network of the offset's logarithm (eq. 3 and 4).

    Args:
        num_axes: axes of the grid.
        num_heads: attention heads.
        hidden_dim: width of the network.
        spacing: "linear" gives the network the offsets themselves, from -1 to 1 in the window of the training, as the
            paper's ablation does (table 1).
    """

    def __init__(self, num_axes: int, num_heads: int, hidden_dim: int = 512, spacing: Spacing = "log"):
        super().__init__(nn.Linear(num_axes, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, num_heads, bias=False))
        self.spacing = spacing
        if spacing == "linear":  # a name that keeps such weights from being loaded where the other is meant
            self.register_buffer("linear_spacing", torch.ones(()))
        self._kept: dict[Size, Tensor] = {}  # in the order in which they were wanted
        self._kept_table: Tensor | None = None
        self._kept_key: tuple = ()
        self._kept_weights: list[Tensor] = []

    def forward(  # type: ignore[override]
        self, windows: Sequence[Size], trained_window: Size, dtype: torch.dtype | None = None
    ) -> list[Float[Tensor, "heads _ _"]]:
        """Bias of every pair of tokens in windows of the given shapes, each (heads, N, N), in float32 or better.

        Computed anew when a gradient is asked for; else once, and again after weights, type, device or window change.

        Args:
            windows: shapes of the windows, in tokens along each axis.
            trained_window: the unit in which offsets are measured, whatever the windows are now.
            dtype: in which biases are kept, and given, where no gradient is asked for.
        """
        first, last = self._layers
        weights = [first.weight, first.bias, last.weight]
        if torch.compiler.is_compiling() or (torch.is_grad_enabled() and any(w.requires_grad for w in weights)):
            return self._biases(windows, trained_window)
        by_version = first.weight.device.type != "cpu"  # elsewhere a comparison would have to wait
        key = (trained_window, dtype, torch.is_inference_mode_enabled(), *(_identity(w, by_version) for w in weights))
        if key != self._kept_key or not (by_version or all(map(torch.equal, self._kept_weights, weights))):
            self._kept, self._kept_table = {}, None
            self._kept_key = key  # and the weights: for comparison, or so that no other can get its place in memory
            self._kept_weights = [weight.detach() if by_version else weight.detach().clone() for weight in weights]
        kept = self._kept
        if any(window not in kept for window in windows):
            self._kept = kept = self._keep(windows, trained_window, dtype)
        return [kept[window] for window in windows]

    def _keep(self, windows: Sequence[Size], trained_window: Size, dtype: torch.dtype | None) -> dict[Size, Tensor]:
        """Biases of these windows, and of others that there is room for, those that were wanted last."""
        old, table, largest = self._kept, self._kept_table, _largest(windows)
        if table is None or any(2 * w - 1 > offsets for w, offsets in zip(largest, table.shape[1:], strict=True)):
            before = () if table is None else (tuple((offsets + 1) // 2 for offsets in table.shape[1:]),)
            self._kept_table = table = self.table(_largest([*windows, *before]), trained_window)
        new = {w: old[w] if w in old else pairwise(table, w).to(dtype or table.dtype) for w in windows}
        others = {window: bias for window, bias in old.items() if window not in new}
        while others and sum(bias.numel() for bias in others.values()) > KEPT:
            del others[next(iter(others))]
        return others | new

    def train(self, mode: bool = True) -> "ContinuousPositionBias":
        """Switch to training or evaluation, and forget what was kept."""
        self._kept_key = ()
        return super().train(mode)

    def __getstate__(self) -> dict:
        """Copies and pickles are without what is kept."""
        nothing: dict[str, Any] = {
            "_kept": {},
            "_kept_table": None,
            "_kept_key": (),
            "_kept_weights": [],
        }
        return super().__getstate__() | nothing

    @property
    def _layers(self) -> tuple[nn.Linear, nn.Linear]:
        return cast(nn.Linear, self._modules["0"]), cast(nn.Linear, self._modules["2"])

    def _biases(self, windows: Sequence[Size], trained_window: Size) -> list[Tensor]:
        table = self.table(_largest(windows), trained_window)
        return [pairwise(table, window) for window in windows]

    def table(self, window: Size, trained_window: Size) -> Float[Tensor, "heads ..."]:
        """Bias of every offset in a window, (heads, 2·w1 - 1, …, 2·wn - 1), in float32 or better."""
        first, last = self._layers
        dtype = torch.promote_types(first.weight.dtype, torch.float32)
        steps = [torch.arange(1 - w, w, device=first.weight.device, dtype=torch.float32) for w in window]
        steps = [8 * step / max(w - 1, 1) for step, w in zip(steps, trained_window, strict=True)]
        offsets = torch.stack(torch.meshgrid(*steps, indexing="ij"), -1)  # (2·w1 - 1, …, 2·wn - 1, n)
        logs = offsets.sign() * torch.log2(1 + offsets.abs()) / math.log2(8)  # in float32, as in every release
        offsets = logs if self.spacing == "log" else offsets / 8
        with full_precision(offsets.device):
            hidden = F.relu(F.linear(offsets.to(dtype), first.weight.to(dtype), first.bias.to(dtype)))
            return 16 * torch.sigmoid(F.linear(hidden, last.weight.to(dtype))).movedim(-1, 0)


def _largest(windows: Sequence[Size]) -> Size:
    """The smallest window that holds all of them."""
    return tuple(max(lengths) for lengths in zip(*windows, strict=True))


def pairwise(table: Float[Tensor, "heads ..."], window: Size) -> Float[Tensor, "heads n n"]:
    """Bias of each pair (i, j) of tokens from that of each offset i - j; smaller windows have the table's middle."""
    n = len(window)
    for axis, w in enumerate(window, 1):
        table = table.narrow(axis, (table.shape[axis] + 1) // 2 - w, 2 * w - 1)  # offsets 1 - w … w - 1
        table = table.unfold(axis, w, 1)  # [a, …, i] is offset a + i + 1 - w, thus j = w - 1 - a
    table = table.flip(tuple(range(1, n + 1)))  # (h, j1, …, jn, i1, …, in)
    return table.flatten(n + 1).flatten(1, n).transpose(1, 2).contiguous()


def _identity(weight: Tensor, by_version: bool) -> tuple:
    """What shows that a weight is another, or, if versions count, that it was written to."""
    kind = weight.device, weight.dtype
    return (*kind, *mark(weight)) if by_version else kind


class WindowAttention(nn.Module):
    """Multi-head attention within windows; similarity is the cosine over a learnt temperature, plus the bias (eq. 2).

    Args:
        dim: channels.
        num_heads: attention heads.
        num_axes: axes of the grid.
        trained_window: window of the training, the unit of the position bias.
        spacing: of the offsets that the position bias is a function of.
    """

    def __init__(self, dim: int, num_heads: int, num_axes: int, trained_window: Size, spacing: Spacing = "log"):
        super().__init__()
        self.num_heads = num_heads
        self.trained_window = trained_window
        self.logit_scale = nn.Parameter(torch.full((num_heads, 1, 1), math.log(10)))
        self.cpb_mlp = ContinuousPositionBias(num_axes, num_heads, spacing=spacing)
        self.qkv = Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim))
        self.v_bias = nn.Parameter(torch.zeros(dim))
        self.proj = Linear(dim, dim)

    def forward(self, x: Float[Tensor, "tokens c"], cut: Cut | GridCut) -> Float[Tensor, "tokens c"]:
        """Attention within each window of tokens in the order of the cut."""
        bias = self.qkv_bias()
        if isinstance(self.qkv, Linear):
            qkv = self.qkv(x, bias)
        else:  # a layer put in its place
            qkv = self.qkv(x)
            qkv = qkv + bias.to(qkv.dtype)
        qkv = qkv.unflatten(-1, (3, self.num_heads, -1))  # (tokens, 3, h, d)
        biases = self.cpb_mlp(cut.shapes, self.trained_window, qkv.dtype if _stays_narrow(qkv, cut) else None)
        with full_precision(x.device):
            context = window_attention(qkv, self.scale(), biases, cut, overwrite=not hooked(self.qkv))
        return self.proj(context)

    def qkv_bias(self) -> Float[Tensor, " _"]:
        """Bias of queries, keys, which have none, and values."""
        return torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])

    def scale(self) -> Float[Tensor, " h"]:
        """1 / tau of each head, tau being at least 0.01."""
        return self.logit_scale.clamp(max=math.log(100)).exp().flatten()


def window_attention(
    qkv: Float[Tensor, "tokens 3 heads d"],
    scale: Float[Tensor, " heads"],
    biases: Sequence[Float[Tensor, "heads _ _"]],
    cut: Cut | GridCut,
    overwrite: bool = False,
) -> Float[Tensor, "tokens c"]:
    """Scaled cosine attention of every token to the tokens of its window (eq. 2).

    Computed in float32 or better, but for evaluation in 16 bits on a CPU.

    Args:
        qkv: queries, keys and values in the order of the cut.
        scale: 1 / tau of each head.
        biases: position bias of each of the cut's shapes of windows.
        cut: the windows.
        overwrite: whether queries and keys may be written to, where no gradient is asked for.
    """
    if isinstance(cut, GridCut):
        (bias,) = biases
        return grid_attention(qkv.unflatten(0, (cut.batch, *cut.size)), scale, bias, cut).flatten(0, -2)
    if _stays_narrow(qkv, cut):
        biases = [bias.to(qkv.dtype) for bias in biases]
        return attend_in_blocks(qkv, scale.float(), cut.groups, biases)
    dtype = torch.promote_types(qkv.dtype, torch.float32)
    given, scale, biases = qkv.to(dtype), scale.to(dtype), [bias.to(dtype) for bias in biases]
    if torch.is_grad_enabled() and qkv.device.type == "cpu":
        return RecomputedAttention.apply(given, scale, cut.groups, *biases).to(qkv.dtype)
    if is_eager():
        return attention(given, scale, cut.groups, biases, overwrite).to(qkv.dtype)
    lengths = torch.stack([scale, torch.ones_like(scale)])
    given = torch.cat([of_length(given[:, :2], lengths), given[:, 2:]], 1)
    return attend(given, runs_of(cut.groups, biases)).to(qkv.dtype)


def _stays_narrow(qkv: Tensor, cut: Cut | GridCut) -> bool:
    """Whether the attention is computed in 16 bits: for evaluation on a CPU."""
    narrow = qkv.device.type == "cpu" and qkv.dtype in HALVES and isinstance(cut, Cut)
    return narrow and not torch.is_grad_enabled()
