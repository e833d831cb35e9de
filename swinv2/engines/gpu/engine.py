"""Blocks on a GPU: attention and the ends of branches by kernels, the linear layers as they are."""

from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from ...backbone import Block
from ...layers import LayerNorm, StochasticDepth, drawn
from ...windows import Windows, is_transformed
from ..base import (
    FastAttention,
    FastBlock,
    FastStage,
    global_hooks,
    is_observed,
    is_recorded,
    is_traced,
    must_call_bias,
)
from . import choice
from .attention import window_attention
from .kernel import attention_kernel, norm_kernel, unfit
from .norm import add_norm
from .self_check import plain_add_norm
from .stage_bias import shared


class GpuEngine:
    """Computes blocks whose tokens are on a GPU; torch.compile keeps its kernels."""

    name = "gpu"

    def refusal(self, block: FastBlock, x: Float[Tensor, "b *grid c"], windows: Windows) -> str | None:
        """Why it cannot compute this block for such tokens now; None if it can."""
        if not isinstance(block.attn, FastAttention):
            return f"attn is a {type(block.attn).__name__}"
        return _refusal(x)

    def describe(self, block: FastBlock, x: Float[Tensor, "b *grid c"], windows: Windows) -> str:
        """How it computes a block that it does not refuse, for a user to read."""
        dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else x.dtype
        kernel = attention_kernel(dtype, x.shape[-1] // block.attn.num_heads, windows.shape)
        without, layers = choice.refusal(kernel, x.device), _reason_to_call(block, x)
        by = self.name if without is None else f"{self.name}, attention by PyTorch's operators: {without}"
        return by if layers is None else f"{by}, layer by layer: {layers}"

    def __call__(self, block: FastBlock, x: Float[Tensor, "b *grid c"], windows: Windows) -> Float[Tensor, "b *grid c"]:
        """The tokens that `Block.forward` gives."""
        if _reason_to_call(block, x) is not None:
            return Block.forward(block, x, windows)
        kept = [drawn(block.drop_path, x) for _ in range(2)]
        x = _add_norm(x, block.attn(x, windows), block.norm1, *kept[0])
        return block.enorm(_add_norm(x, block.mlp(x), block.norm2, *kept[1]))

    def attend(
        self, attn: FastAttention, qkv: Float[Tensor, "b *grid c3"], windows: Windows
    ) -> Float[Tensor, "b *grid c"] | None:
        """What `WindowAttention.attend` gives; None if it cannot."""
        if _refusal(qkv) is not None:
            return None
        if attn.training:
            attn.forget()  # Lightning goes from a validation back to training without a call of `train()`
        width = qkv.shape[-1] // (3 * attn.num_heads)
        heads = (qkv + attn.qkv_bias().to(qkv.dtype)).unflatten(-1, (3, attn.num_heads, width))
        if (ahead := vars(attn).get("shared")) is not None and ahead[0] == windows.shape:
            bias = ahead[1]
        elif is_traced() or is_recorded(attn, qkv) or must_call_bias(attn):
            bias = attn.cpb_mlp(windows.shape, attn.trained_window)
        else:
            known = attn.derived().biases(attn.cpb_mlp, [windows.shape], attn.trained_window, None)
            bias = known[windows.shape]
        with torch.autocast("cuda", enabled=False):
            return window_attention(heads, attn.scale().flatten(), bias, windows)

    def around(self, stage: FastStage, x: Float[Tensor, "b *grid c"]) -> AbstractContextManager:
        """The position biases of all blocks, computed at once where none will be computed again; hooks may do so."""
        blocks = [block for block in stage.blocks if isinstance(block, FastBlock)]
        attentions = [block.attn for block in blocks if isinstance(block.attn, FastAttention)]
        again = any(block.checkpointing or is_observed(block) or is_observed(block.attn) for block in blocks)
        if _refusal(x) is not None or not torch.is_grad_enabled() or again or len(attentions) < len(stage.blocks):
            return nullcontext()
        return shared(attentions, tuple(min(s, w) for s, w in zip(x.shape[1:-1], stage.window, strict=True)))

    def prepare(self, block: FastBlock) -> None:
        """Nothing: what is kept of weights is kept at their first use."""


def _add_norm(x: Tensor, branch: Tensor, norm: LayerNorm, factors: Tensor | None = None) -> Tensor:
    """The end of a branch: by a kernel; by PyTorch where there is none, and under torch.compile, which fuses it."""
    if not is_traced():
        recorded = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, branch, norm.weight))
        work = f"{'training' if recorded else 'inference'}, {choice.amount(x.numel())} numbers"
        trial = partial(_try, x, branch, norm, factors, recorded)
        if choice.uses_kernel(norm_kernel(x, branch, norm.weight), x.device, work, trial):
            return add_norm(x, branch, norm.weight, norm.bias, norm.eps, factors)
    with torch.autocast("cuda", enabled=False):
        return plain_add_norm(x, branch, norm.weight, norm.bias, norm.eps, factors)


def _try(x: Tensor, branch: Tensor, norm: LayerNorm, factors: Tensor | None, recorded: bool, kernel: bool) -> None:
    """Normalise and add by one way, forward and, where it will come, backward; checkpoints around it see nothing."""
    with torch.set_grad_enabled(recorded), saved_tensors_hooks(_same, _same):
        one, two = (tensor.detach().requires_grad_(recorded) for tensor in (x, branch))
        total = (add_norm if kernel else plain_add_norm)(one, two, norm.weight, norm.bias, norm.eps, factors)
        if recorded:
            torch.autograd.grad(total, [one, two], torch.ones_like(total))


def _same(saved: Tensor) -> Tensor:
    return saved


def _refusal(x: Tensor) -> str | None:
    """Why tokens are not computed on a GPU by this engine; None if they are."""
    if x.device.type != "cuda":
        return f"the tokens are on {x.device.type}"
    if is_transformed() and not torch.compiler.is_compiling():
        return "the model is transformed"
    if not x.is_floating_point() or x.dtype == torch.float64:
        return f"the tokens are {x.dtype}"
    return unfit(x.device) if torch.compiler.is_compiling() else None  # without kernels the compiler does better


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
    return None if is_traced() else global_hooks()
