"""Window attention by PyTorch's own operators, for GPUs that do not run the kernels.

Windows are cut out and attended a few at a time, so that neither scores nor gradients of the bias are kept for each of
them. The forward pass is `scaled_dot_product_attention`, efficient or plain, and never cuDNN's, which reads a float32
bias as 16-bit numbers beside queries of 16 bits and has given NaN for windows of 64 slots. Gradients are written out
here: PyTorch's would keep one of the bias for each window.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...windows import Windows

SCORES = 2**25  # that are computed at a time
WINDOWS = 2**15  # at a time; CUDA has at most 65,535 programs along an axis
CHANNELS = 8  # heads are filled up to a multiple of it, as the efficient operator wants
FAR = -1e30  # score of a slot without a token
ALLOWED = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def forward(
    qkv: Float[Tensor, "b *grid 3 heads d"],
    scale: Float[Tensor, " heads"],
    bias: Float[Tensor, "heads n n"],
    windows: Windows,
) -> Float[Tensor, "b *grid c"]:
    """Scaled cosine attention (arXiv:2111.09883, eq. 2), in float32 or better.

    Args:
        qkv: queries, keys and values.
        scale: 1 / tau of each head.
        bias: position bias of every pair of slots.
        windows: of the grid.
    """
    slots, far = _slots(qkv, windows)
    context = slots.new_empty(slots.shape[1:])
    for some, heads in _parts(slots, context.shape[2]):
        q, k, v = _wide(slots[:, some, heads])
        mask = bias[heads].to(q.dtype)
        q, k = F.normalize(q, dim=-1) * scale[heads, None, None].to(q.dtype), F.normalize(k, dim=-1)
        if far is not None:  # a channel of ones beside one of the keys' own scores, so that no mask is a window's own
            q = torch.cat([q, torch.ones_like(q[..., :1])], -1)
            k = torch.cat([k, far[some, None, :, None].to(k.dtype).expand(*k.shape[:-1], 1)], -1)
        with sdpa_kernel(ALLOWED):
            out = F.scaled_dot_product_attention(_filled(q), _filled(k), _filled(v), mask.unsqueeze(0), scale=1.0)
        context[some, heads] = out[..., : v.shape[-1]].to(context.dtype)
    return _tokens(context.unsqueeze(0), windows, qkv.shape[:-3])


def backward(
    grad: Float[Tensor, "b *grid c"],
    qkv: Float[Tensor, "b *grid 3 heads d"],
    scale: Float[Tensor, " heads"],
    bias: Float[Tensor, "heads n n"],
    windows: Windows,
    wants_bias: bool = True,
) -> tuple[Float[Tensor, "b *grid 3 heads d"], Float[Tensor, " heads"], Tensor]:
    """Gradients of queries, keys and values, of the scale, and of the bias; an empty one if that is not wanted."""
    slots, far = _slots(qkv, windows)
    grads, _ = _slots(grad.view(*qkv.shape[:-3], 1, *qkv.shape[-2:]), windows)
    grad_slots, grad_scale = torch.empty_like(slots), torch.zeros_like(scale)
    grad_bias = torch.zeros_like(bias) if wants_bias else bias.new_empty(0)
    for some, heads in _parts(slots, slots.shape[3]):
        (q, k, v), slope = _wide(slots[:, some, heads]), _wide(grads[0, some, heads])
        factor = scale[heads, None, None].to(q.dtype)
        (q, q_length), (k, k_length) = _unit(q), _unit(k)
        scores = (q * factor) @ k.mT + bias[heads].to(q.dtype)
        if far is not None:
            scores += far[some, None, None].to(q.dtype)
        scores = scores.softmax(-1)
        grad_slots[2, some, heads] = (scores.mT @ slope).to(grad_slots.dtype)
        grad_scores = slope @ v.mT
        grad_scores -= (grad_scores * scores).sum(-1, keepdim=True)
        grad_scores *= scores
        if wants_bias:
            grad_bias[heads] += grad_scores.sum(0).to(grad_bias.dtype)
        grad_q, grad_k = grad_scores @ k, grad_scores.mT @ (q * factor)
        grad_scale[heads] += (grad_q * q).sum((0, 2, 3)).to(grad_scale.dtype)
        grad_slots[0, some, heads] = (_through_unit(grad_q, q, q_length) * factor).to(grad_slots.dtype)
        grad_slots[1, some, heads] = _through_unit(grad_k, k, k_length).to(grad_slots.dtype)
    return _tokens(grad_slots, windows, qkv.shape[:-3]).view(qkv.shape), grad_scale, grad_bias


def _slots(x: Tensor, windows: Windows) -> tuple[Float[Tensor, "parts w heads n d"], Float[Tensor, "w n"] | None]:
    """What is in the slots of all windows, and what is added to scores of keys; None where every slot has a token."""
    axes, images = len(windows.shape), len(x)
    slots = windows.gather(x.flatten(-3).flatten(1, axes)).unflatten(-1, x.shape[-3:])  # (B, W, N, parts, h, d)
    far = None
    if windows.filled.numel() > windows.slot.numel():
        far = torch.where(windows.filled, 0.0, FAR).repeat(images, 1)
    return slots.flatten(0, 1).permute(2, 0, 3, 1, 4), far


def _tokens(slots: Float[Tensor, "parts w heads n d"], windows: Windows, shape: Sequence[int]) -> Tensor:
    """What is in the slots, back in the order of the grid: (*shape, parts · heads · d)."""
    x = slots.permute(1, 3, 0, 2, 4).flatten(2)  # (B · W, N, parts · h · d)
    return windows.scatter(x.unflatten(0, (shape[0], len(windows.token)))).unflatten(1, shape[1:])


def _parts(slots: Float[Tensor, "parts w heads n d"], number: int) -> Iterator[tuple[slice, slice]]:
    """Windows and heads that are attended at a time.

    Args:
        slots: of all windows.
        number: of slots in a window.
    """
    windows, heads = slots.shape[1:3]
    some_heads = min(max(SCORES // number**2, 1), max(heads, 1))
    some = min(max(SCORES // (some_heads * number**2), 1), WINDOWS)
    for start in range(0, windows, some):
        for head in range(0, heads, some_heads):
            yield slice(start, start + some), slice(head, head + some_heads)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _filled(x: Tensor) -> Tensor:
    """Channels filled up with zeros."""
    return F.pad(x, (0, -x.shape[-1] % CHANNELS))


def _unit(x: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors, and the lengths that vectors were divided by."""
    length = x.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    return x / length, length


def _through_unit(grad: Tensor, unit: Tensor, length: Tensor) -> Tensor:
    """Gradient of a vector from that of its unit vector."""
    return (grad - unit * (grad * unit).sum(-1, keepdim=True)) / length
