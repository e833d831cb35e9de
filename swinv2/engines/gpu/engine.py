"""Blocks on a GPU: attention and the ends of branches by kernels, the linear layers as they are."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...backbone import Block
from ...layers import LayerNorm, StochasticDepth
from ...windows import Windows, is_transformed
from ..base import FastAttention, FastBlock, global_hooks, is_observed, is_recorded, is_traced, must_call_bias
from . import available
from .attention import unsupported, window_attention
from .norm import CHANNELS, add_norm
from .sizes import DTYPES


class GpuEngine:
    """Computes blocks whose tokens are on a GPU that runs the kernels; torch.compile keeps them."""

    name = "gpu"

    def refusal(self, block: FastBlock, x: Float[Tensor, "b *grid c"], windows: Windows) -> str | None:
        """Why it cannot compute this block for such tokens now; None if it can."""
        dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else x.dtype
        return _refusal(x, windows, dtype, block.attn, 1)

    def describe(self, block: FastBlock, x: Float[Tensor, "b *grid c"], windows: Windows) -> str:
        """How it computes a block that it does not refuse, for a user to read."""
        if (reason := _reason_to_call(block, x)) is None:
            return self.name
        return f"{self.name}, layer by layer: {reason}"

    def __call__(self, block: FastBlock, x: Float[Tensor, "b *grid c"], windows: Windows) -> Float[Tensor, "b *grid c"]:
        """The tokens that `Block.forward` gives."""
        if _reason_to_call(block, x) is not None:
            return Block.forward(block, x, windows)
        x = _add_norm(block, x, block.attn(x, windows), block.norm1)
        return block.enorm(_add_norm(block, x, block.mlp(x), block.norm2))

    def attend(
        self, attn: FastAttention, qkv: Float[Tensor, "b *grid c3"], windows: Windows
    ) -> Float[Tensor, "b *grid c"] | None:
        """What `WindowAttention.attend` gives; None if it cannot."""
        if _refusal(qkv, windows, qkv.dtype, attn, 3) is not None:
            return None
        width = qkv.shape[-1] // (3 * attn.num_heads)
        heads = (qkv + attn.qkv_bias().to(qkv.dtype)).unflatten(-1, (3, attn.num_heads, width))
        if is_traced() or is_recorded(attn, qkv) or must_call_bias(attn):
            bias = attn.cpb_mlp(windows.shape, attn.trained_window)
        else:
            known = attn.derived().biases(attn.cpb_mlp, [windows.shape], attn.trained_window, None)
            bias = known[windows.shape]
        with torch.autocast("cuda", enabled=False):
            return window_attention(heads, attn.scale().flatten(), bias, windows)

    def prepare(self, block: FastBlock) -> None:
        """Nothing: what is kept of weights is kept at their first use."""


def _add_norm(block: FastBlock, x: Tensor, branch: Tensor, norm: LayerNorm) -> Tensor:
    factors = block.drop_path.factors(len(x), x.device)
    return add_norm(x, branch, norm.weight, norm.bias, norm.eps, factors)


def _refusal(x: Tensor, windows: Windows, dtype: torch.dtype, attn: nn.Module, parts: int) -> str | None:
    """Why the kernels cannot take such tokens; None if they can.

    Args:
        x: tokens, or their queries, keys and values.
        windows: of the grid.
        dtype: of queries, keys and values.
        attn: the attention.
        parts: 3 if the channels of x are queries, keys and values, else 1.
    """
    if x.device.type != "cuda":
        return f"the tokens are on {x.device.type}"
    if not available(x.device):
        return "this GPU, or this PyTorch, does not run the kernels"
    if is_transformed() and not torch.compiler.is_compiling():
        return "the model is transformed"
    if not isinstance(attn, FastAttention):
        return f"attn is a {type(attn).__name__}"
    return unsupported(windows, x.shape[-1] // (parts * attn.num_heads), dtype)


def _reason_to_call(block: FastBlock, x: Tensor) -> str | None:
    """Why the layers of a block are called one by one; None if they need not be."""
    if block.checkpointing and torch.is_grad_enabled():
        return "it is computed again in the backward pass"
    kinds = {"norm1": LayerNorm, "norm2": LayerNorm, "drop_path": StochasticDepth}  # others are called in any case
    for name, kind in kinds.items():
        module = block.get_submodule(name)
        if type(module) is not kind:
            return f"{name} is a {type(module).__name__}"
        if is_observed(module):
            return f"{name} has hooks or a forward of its own"
    if not is_traced() and (reason := global_hooks()):
        return reason
    if x.shape[-1] > CHANNELS or x.dtype not in DTYPES or block.norm1.weight.dtype not in DTYPES:
        return f"{x.shape[-1]} channels in {x.dtype}"
    return None
