"""Blocks on a CPU: what each layer needs is taken a few windows at a time, so that it stays in cache."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ...attention import full_precision, pairwise
from ...backbone import Block
from ...windows import Size, Take, Windows
from ..base import (
    FastAttention,
    FastBlock,
    global_hooks,
    is_recorded,
    is_traced,
    modification,
    must_call_bias,
)
from ..derived import Derived, largest_of
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
MULTIPLIED = [f"{name}.weight" for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")]

Parts = tuple[str | None, set[torch.dtype]]  # what is modified, types of weights


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
        if reason := self._reason_to_call(block, derived.get("parts", partial(_parts, block)), x):
            return f"{self.name}, layer by layer: {reason}"
        return f"{self.name}, prepared" if _packed(derived) and not is_recorded(block, x) else self.name

    def __call__(self, block: FastBlock, x: Float[Tensor, "b *grid c"], windows: Windows) -> Float[Tensor, "b *grid c"]:
        """The tokens that `Block.forward` gives."""
        derived, batch = block.derived(), len(x)
        parts = derived.get("parts", partial(_parts, block))
        if self._reason_to_call(block, parts, x):
            return Block.forward(block, x, windows)
        tokens, drop = x.flatten(0, -2), block.drop_path  # (B·S, C)
        factors = (drop.factors(batch, x.device), drop.factors(batch, x.device)) if drop.training else (None, None)
        if is_recorded(block, x):
            tokens = _train(block, tokens, windows, batch, factors)
        else:
            with torch.no_grad():
                tokens = _evaluate(block, derived, tokens, windows, batch, factors)
        return block.enorm(tokens.view(x.shape))

    def attend(
        self, attn: FastAttention, qkv: Float[Tensor, "b *grid c3"], windows: Windows
    ) -> Float[Tensor, "b *grid c"] | None:
        """What `WindowAttention.attend` gives, for a block whose layers are called one by one; None if it cannot."""
        if is_traced() or _unsupported(qkv) is not None or must_call_bias(attn):
            return None
        with full_precision(qkv.device):
            return _attend(attn, qkv.flatten(0, -2), windows, len(qkv)).unflatten(0, qkv.shape[:-1])

    def prepare(self, block: FastBlock) -> None:
        """Pack the weights of linear layers, in float32 or bfloat16; they take as much memory once more."""
        block.forget()
        if modification(block) is None and all(weight.device.type == "cpu" for weight in block.parameters()):
            weights = [block.get_parameter(name) for name in MULTIPLIED]
            block.derived().get("packed", lambda: {id(weight): pack(weight) for weight in weights})
            keep_freed_memory()

    def _reason_to_call(self, block: FastBlock, parts: Parts, x: Tensor) -> str | None:
        """Why the layers of a block are called one by one; None if they need not be."""
        if type(block) is not FastBlock:
            return f"the block is a {type(block).__name__}"
        if reason := global_hooks():
            return reason
        modified, dtypes = parts
        if modified:
            return modified
        if dtypes != {x.dtype} and multiplied_type(x) == x.dtype:
            return f"weights are {', '.join(sorted(map(str, dtypes)))}, tokens {x.dtype}"
        return None


def _unsupported(x: Tensor) -> str | None:
    """Why tokens are none that are computed here."""
    if x.device.type != "cpu":
        return f"the tokens are on {x.device.type}"
    if not x.numel():
        return "the batch is empty"
    return None if x.dtype in TYPES else f"the tokens are {x.dtype}"


def _parts(block: FastBlock) -> Parts:
    return modification(block), {weight.dtype for weight in block.parameters()}


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
) -> Float[Tensor, "tokens c"]:
    dtype = multiplied_type(tokens)
    if _packed(derived) and dtype == tokens.dtype:
        key = windows, batch, block.attn.trained_window
        evaluated = derived.get("evaluated", partial(_evaluated, block, dtype, _packed(derived), len(tokens)))
        return evaluated(
            tokens, derived.last("work", key, partial(_work, block, derived, windows, tokens, batch, dtype)), factors
        )
    with full_precision(tokens.device):
        work = _work(block, derived, windows, tokens, batch, dtype)
        return _evaluated(block, dtype, {}, len(tokens))(tokens, work, factors)


def _work(
    block: FastBlock, derived: Derived, windows: Windows, tokens: Tensor, batch: int, dtype: torch.dtype
) -> list[tuple[Chunk, list[Run]]]:
    """What is evaluated at a time."""
    parts = chunks(windows, batch, BYTES_IN_CACHE // tokens.itemsize)
    kept = dtype if dtype in HALVES else None
    biases = derived.biases(block.attn.cpb_mlp, _shapes(parts), block.attn.trained_window, kept)
    return [(chunk, runs_of(chunk.groups, [biases[shape] for shape, _ in chunk.groups])) for chunk in parts]


def _evaluated(block: FastBlock, dtype: torch.dtype, packed: dict[int, Tensor | None], tokens: int) -> EvaluatedBlock:
    attn, mlp = block.attn, block.mlp

    def layer(weight: Tensor, bias: Tensor, gelu: bool = False) -> Product:
        if (ready := packed.get(id(weight))) is not None:
            return packed_product(ready, bias, gelu)
        multiply = product(weight.to(dtype), bias.to(dtype), tokens >= TOKENS_WORTH_PACKING)
        return lambda x: torch.ops.aten.gelu_(multiply(x.to(dtype))) if gelu else multiply(x.to(dtype))

    norms = [ResidualNorm((norm.weight, norm.bias), (False, False), norm.eps) for norm in (block.norm1, block.norm2)]
    return EvaluatedBlock(
        qkv=layer(attn.qkv.weight, attn.qkv_bias()),
        proj=layer(attn.proj.weight, attn.proj.bias),
        fc1=layer(mlp.fc1.weight, mlp.fc1.bias, gelu=True),
        fc2=layer(mlp.fc2.weight, mlp.fc2.bias),
        norms=(norms[0], norms[1]),
        lengths=lengths_of(attn.scale().flatten().to(torch.promote_types(dtype, torch.float32))),
    )


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
