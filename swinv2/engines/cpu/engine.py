"""Blocks on a CPU: what each layer needs is taken a few windows at a time, so that it stays in cache."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ...attention import full_precision, pairwise
from ...backbone import Block
from ...layers import LayerNorm
from ...windows import Size, Take, Windows
from ..base import (
    FastAttention,
    FastBlock,
    FastStage,
    global_hooks,
    is_recorded,
    is_traced,
    modified_halves,
    must_call_bias,
)
from ..derived import LARGEST_ON_CPU, Derived, largest_of
from .attention import HALVES, AttentionWithGrad, Run, attention, lengths_of, runs_of
from .block import (
    BlockOptions,
    EvaluatedBlock,
    Factors,
    multiplied_type,
    tokens_in_cache,
    trained_block,
)
from .layers import TOKENS_WORTH_PACKING, ResidualNorm, split_heads
from .order import Chunk, chunks
from .packing import Product, keep_freed_memory, pack, packed_product, product

BYTES_IN_CACHE = 2**14  # of one channel of the tokens that are evaluated at a time
TYPES = (torch.float32, torch.float64, *HALVES)
MULTIPLIED = (("attn.qkv.weight", "attn.proj.weight"), ("mlp.fc1.weight", "mlp.fc2.weight"))

Reasons = list[str | None]  # why the layers of the attention, and of the MLP, are called one by one; None if not
Parts = tuple[Reasons, set[torch.dtype]]  # what is modified, types of weights


class CpuEngine:
    """Computes blocks whose tokens are on a CPU."""

    name = "cpu"

    def refusal(self, block: FastBlock, x: Float[Tensor, "b *grid c"], windows: Windows) -> str | None:
        """Why it cannot compute this block for such tokens now; None if it can."""
        if is_traced():
            return "the model is traced or transformed"
        return _unsupported(x)

    def describe(self, block: FastBlock, x: Float[Tensor, "b *grid c"], windows: Windows) -> str:
        """How it computes a block that it does not refuse, for a user to read."""
        derived = block.derived()
        reasons = _reasons_to_call(block, derived.get("parts", partial(_parts, block)), x)
        if all(reasons):
            return f"{self.name}, layer by layer: {reasons[0]}"
        prepared = ", prepared" if _packed(derived) and not is_recorded(block, x) else ""
        halves = zip(("attention", "MLP"), reasons, strict=True)
        called = [f", its {half} layer by layer: {reason}" for half, reason in halves if reason]
        return f"{self.name}{prepared}{''.join(called)}"

    def __call__(self, block: FastBlock, x: Float[Tensor, "b *grid c"], windows: Windows) -> Float[Tensor, "b *grid c"]:
        """The tokens that `Block.forward` gives."""
        derived, batch = block.derived(), len(x)
        reasons = _reasons_to_call(block, derived.get("parts", partial(_parts, block)), x)
        if all(reasons):
            return Block.forward(block, x, windows)
        drop = block.drop_path
        factors = (drop.factors(batch, x.device), drop.factors(batch, x.device)) if drop.training else (None, None)
        if is_recorded(block, x):
            return block.enorm(_train(block, x.flatten(0, -2), windows, batch, factors).view(x.shape))
        with torch.no_grad():
            if reasons[0]:
                x = x + block.norm1(block.attn(x, windows))
            x = _evaluate(block, derived, x.flatten(0, -2), windows, batch, factors, reasons).view(x.shape)
            if reasons[1]:
                x = x + block.norm2(block.mlp(x))
        return block.enorm(x)

    def attend(
        self, attn: FastAttention, qkv: Float[Tensor, "b *grid c3"], windows: Windows
    ) -> Float[Tensor, "b *grid c"] | None:
        """What `WindowAttention.attend` gives, for a block whose layers are called one by one; None if it cannot."""
        if is_traced() or _unsupported(qkv) is not None or must_call_bias(attn):
            return None
        with full_precision(qkv.device):
            return _attend(attn, qkv.flatten(0, -2), windows, len(qkv)).unflatten(0, qkv.shape[:-1])

    def around(self, stage: FastStage, x: Float[Tensor, "b *grid c"]) -> AbstractContextManager:
        """Nothing: blocks are computed one by one."""
        return nullcontext()

    def prepare(self, block: FastBlock) -> None:
        """Pack the weights of linear layers, in float32 or bfloat16; they take as much memory once more."""
        block.forget()
        if all(weight.device.type == "cpu" for weight in block.parameters()):
            halves = zip(MULTIPLIED, modified_halves(block), strict=True)
            weights = [block.get_parameter(name) for names, reason in halves if reason is None for name in names]
            block.derived().get("packed", lambda: {id(weight): pack(weight) for weight in weights})
            keep_freed_memory()


def _reasons_to_call(block: FastBlock, parts: Parts, x: Tensor) -> Reasons:
    """Why the layers of a block's halves are called one by one; in training those of both or of none."""
    modified, dtypes = parts
    reason = global_hooks()
    if type(block) is not FastBlock:
        reason = f"the block is a {type(block).__name__}"
    elif reason is None and any(modified) and (torch.is_grad_enabled() or block.drop_path.training):
        reason = modified[0] or modified[1]
    elif reason is None and dtypes != {x.dtype} and multiplied_type(x) == x.dtype:
        reason = f"weights are {', '.join(sorted(map(str, dtypes)))}, tokens {x.dtype}"
    return modified if reason is None else [reason, reason]


def _unsupported(x: Tensor) -> str | None:
    """Why tokens are none that are computed here."""
    if x.device.type != "cpu":
        return f"the tokens are on {x.device.type}"
    if not x.numel():
        return "the batch is empty"
    return None if x.dtype in TYPES else f"the tokens are {x.dtype}"


def _parts(block: FastBlock) -> Parts:
    return modified_halves(block), {weight.dtype for weight in block.parameters()}


def _packed(derived: Derived) -> dict[int, Tensor | None]:
    """Packed weights by the identity of the weights; none where the block is not prepared."""
    return derived.get("packed", dict)


def _evaluate(
    block: FastBlock,
    derived: Derived,
    tokens: Float[Tensor, "tokens c"],
    windows: Windows,
    batch: int,
    factors: Factors,
    reasons: Reasons,
) -> Float[Tensor, "tokens c"]:
    """Tokens after the halves of the block that need not be called layer by layer."""
    dtype = multiplied_type(tokens)
    if _packed(derived) and dtype == tokens.dtype:
        key = windows, batch, None if reasons[0] else block.attn.trained_window
        evaluated = derived.get("evaluated", partial(_evaluated, block, dtype, _packed(derived), len(tokens), reasons))
        make = partial(_work, block, derived, windows, tokens, batch, dtype, reasons)
        keep = reasons[0] is not None or block.attn.num_heads * math.prod(windows.shape) ** 2 <= LARGEST_ON_CPU
        return evaluated(tokens, derived.last("work", key, make) if keep else make(), factors)
    with full_precision(tokens.device):
        work = _work(block, derived, windows, tokens, batch, dtype, reasons)
        return _evaluated(block, dtype, {}, len(tokens), reasons)(tokens, work, factors)


def _work(
    block: FastBlock,
    derived: Derived,
    windows: Windows,
    tokens: Tensor,
    batch: int,
    dtype: torch.dtype,
    reasons: Reasons,
) -> list[tuple[Chunk, list[Run]]]:
    """What is evaluated at a time."""
    parts = chunks(windows, batch, BYTES_IN_CACHE // tokens.itemsize)
    if reasons[0]:
        return [(chunk, []) for chunk in parts]
    kept = dtype if dtype in HALVES else None
    biases = derived.biases(block.attn.cpb_mlp, _shapes(parts), block.attn.trained_window, kept)
    return [(chunk, runs_of(chunk.groups, [biases[shape] for shape, _ in chunk.groups])) for chunk in parts]


def _evaluated(
    block: FastBlock, dtype: torch.dtype, packed: dict[int, Tensor | None], tokens: int, reasons: Reasons
) -> EvaluatedBlock:
    attn, mlp = block.attn, block.mlp

    def layer(weight: Tensor, bias: Tensor, gelu: bool = False) -> Product:
        if (ready := packed.get(id(weight))) is not None:
            return packed_product(ready, bias, gelu)
        multiply = product(weight.to(dtype), bias.to(dtype), tokens >= TOKENS_WORTH_PACKING)
        return lambda x: torch.ops.aten.gelu_(multiply(x.to(dtype))) if gelu else multiply(x.to(dtype))

    def end(norm: LayerNorm) -> ResidualNorm:
        return ResidualNorm((norm.weight, norm.bias), (False, False), norm.eps)

    attention_half = mlp_half = None
    if reasons[0] is None:
        lengths = lengths_of(attn.scale().flatten().to(torch.promote_types(dtype, torch.float32)))
        qkv, proj = layer(attn.qkv.weight, attn.qkv_bias()), layer(attn.proj.weight, attn.proj.bias)
        attention_half = qkv, proj, end(block.norm1), lengths
    if reasons[1] is None:
        fc1, fc2 = layer(mlp.fc1.weight, mlp.fc1.bias, gelu=True), layer(mlp.fc2.weight, mlp.fc2.bias)
        mlp_half = fc1, fc2, end(block.norm2)
    return EvaluatedBlock(attention_half, mlp_half)


def _train(
    block: FastBlock, tokens: Float[Tensor, "tokens c"], windows: Windows, batch: int, factors: Factors
) -> Float[Tensor, "tokens c"]:
    attn, mlp = block.attention, block.mlp
    parts = chunks(windows, batch, tokens_in_cache(tokens))
    shapes = _shapes(parts)
    options = BlockOptions(parts, shapes, factors, (block.norm1.eps, block.norm2.eps))
    options = replace(options, saved=()) if block.checkpointing else options
    layers = (attn.proj, block.norm1, mlp.fc1, mlp.fc2, block.norm2)
    weights = [(attn.qkv.weight, attn.qkv_bias()), *((layer.weight, layer.bias) for layer in layers)]
    return trained_block(tokens, options, weights, attn.scale().flatten(), _biases(block.attention, shapes))


def _attend(
    attn: FastAttention, tokens: Float[Tensor, "tokens c3"], windows: Windows, batch: int
) -> Float[Tensor, "tokens c"]:
    """Attention whose backward pass computes the scores again; without gradients a few windows at a time."""
    wide = torch.promote_types(tokens.dtype, torch.float32)
    scale, qkv_bias = attn.scale().flatten().to(wide), attn.qkv_bias().to(tokens.dtype)
    recorded = any(x.requires_grad for x in (scale, qkv_bias)) or is_recorded(attn.cpb_mlp, tokens)
    parts = chunks(windows, batch, len(tokens) if recorded else BYTES_IN_CACHE // tokens.itemsize)
    shapes = _shapes(parts)
    if recorded:
        (whole,) = parts
        biases = dict(zip(shapes, _biases(attn, shapes), strict=True))
        qkv = split_heads(_moved(tokens + qkv_bias, whole.tokens, whole.inverse), len(scale)).to(wide)
        of_groups = [biases[shape].to(wide) for shape, _ in whole.groups]
        context = AttentionWithGrad.apply(qkv, scale, whole.groups, *of_groups)
        return _moved(context.to(tokens.dtype), whole.inverse, whole.tokens)
    with torch.no_grad():
        out = tokens.new_empty(len(tokens), tokens.shape[1] // 3)
        biases = attn.derived().biases(attn.cpb_mlp, shapes, attn.trained_window, None)
        for chunk in parts:
            qkv = split_heads((chunk.take(tokens) + qkv_bias).to(wide), len(scale))
            of_groups = [biases[shape].to(wide) for shape, _ in chunk.groups]
            chunk.put(attention(qkv, lengths_of(scale), chunk.groups, of_groups, overwrite=True).to(out.dtype), out)
        return out


def _moved(x: Float[Tensor, "tokens c"], order: Tensor | None, inverse: Tensor | None) -> Float[Tensor, "tokens c"]:
    """Tokens in `order`, or as they are for None; gradients go back by `inverse`."""
    return x if order is None else Take.apply(x.unsqueeze(0), order, inverse).squeeze(0)


def _shapes(parts: Sequence[Chunk]) -> list[Size]:
    """Shapes of the windows in chunks, each once."""
    return list(dict.fromkeys(shape for chunk in parts for shape, _ in chunk.groups))


def _biases(attn: FastAttention, shapes: Sequence[Size]) -> list[Float[Tensor, "heads _ _"]]:
    """Position biases of windows, with gradients."""
    table = attn.cpb_mlp.table(largest_of(shapes), attn.trained_window)
    return [pairwise(table, shape) for shape in shapes]
