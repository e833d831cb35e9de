"""Blocks on a CPU: what each layer needs is taken a few windows at a time, so that it stays in cache."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...attention import full_precision, pairwise
from ...backbone import Block
from ...windows import Size, Take, Windows
from ..base import (
    FastAttention,
    FastBlock,
    is_recorded,
    is_traced,
    modification,
    modification_now,
    must_call_bias,
)
from ..derived import Derived, largest_of
from .attention import HALVES, AttentionWithGrad, attend_in_blocks, attention, lengths_of
from .block import (
    BlockOptions,
    EvaluatedBlock,
    Factors,
    Work,
    multiplied_type,
    tokens_in_cache,
    trained_block,
    work_of,
)
from .layers import CalledLinear, Layer, LinearWithGrad, PackedLinear, ResidualNorm, split_heads
from .order import Chunk, chunks
from .packing import keep_freed_memory, pack

BYTES_IN_CACHE = 2**14  # of one channel of the tokens that are evaluated at a time
TYPES = (torch.float32, torch.float64, *HALVES)
LINEAR = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")


@dataclass(frozen=True)
class Parts:
    """What a block is made of.

    Attributes:
        modified: why its layers must be called one by one, if they must.
        replaced: layers that stand in the place of linear ones.
        dtypes: of its weights.
        ends: whether something follows at the end of the block.
    """

    modified: str | None
    replaced: tuple[str, ...]
    dtypes: frozenset[torch.dtype]
    ends: bool


class CpuEngine:
    """Computes blocks whose tokens are on a CPU."""

    name = "cpu"

    def refusal(self, block: FastBlock, x: Float[Tensor, "b *grid c"], windows: Windows) -> str | None:
        """Why it cannot compute this block for such tokens now; None if it can."""
        if is_traced():
            return "the model is traced"
        return _misfit(x)

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
        out = tokens.view(x.shape)
        return block.enorm(out) if parts.ends else out

    def attend(
        self, attention: FastAttention, qkv: Float[Tensor, "b *grid c3"], windows: Windows
    ) -> Float[Tensor, "b *grid c"] | None:
        """What `WindowAttention.attend` gives, for a block whose layers are called one by one; None if it cannot."""
        if is_traced() or _misfit(qkv) is not None or must_call_bias(attention):
            return None
        tokens, batch = qkv.flatten(0, -2), len(qkv)
        with full_precision(qkv.device):
            if is_recorded(attention, qkv):
                context = _attend_with_grad(attention, tokens, windows, batch)
            else:
                with torch.no_grad():
                    context = _attend(attention, tokens, windows, batch)
        return context.unflatten(0, qkv.shape[:-1])

    def prepare(self, block: FastBlock) -> None:
        """Pack the weights of linear layers, in float32 or bfloat16; they take as much memory once more."""
        block.forget()
        derived = block.derived()
        if all(weight.device.type == "cpu" for weight in block.parameters()):
            layers = [layer for layer in map(block.get_submodule, LINEAR) if type(layer) is nn.Linear]
            derived.get("packed", lambda: {id(layer.weight): pack(layer.weight) for layer in layers})
            keep_freed_memory()

    def _reason_to_call(self, block: FastBlock, parts: Parts, x: Tensor) -> str | None:
        """Why the layers of a block are called one by one; None if they need not be."""
        if reason := modification_now(block):
            return reason
        if parts.modified:
            return parts.modified
        if parts.dtypes != {x.dtype} and multiplied_type(x) == x.dtype:
            return f"weights are {', '.join(sorted(map(str, parts.dtypes)))}, tokens {x.dtype}"
        if parts.replaced and is_recorded(block, x):
            return f"{parts.replaced[0]} is a {type(block.get_submodule(parts.replaced[0])).__name__}"
        return None


def _misfit(x: Tensor) -> str | None:
    """Why tokens are none that are computed here."""
    if x.device.type != "cpu":
        return f"the tokens are on {x.device.type}"
    if not x.numel():
        return "the batch is empty"
    return None if x.dtype in TYPES else f"the tokens are {x.dtype}"


def _parts(block: FastBlock) -> Parts:
    replaced = tuple(name for name in LINEAR if type(block.get_submodule(name)) is not nn.Linear)
    dtypes = frozenset(weight.dtype for weight in block.parameters())
    return Parts(modification(block), replaced, dtypes, type(block.enorm) is not nn.Identity)


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
) -> list[Work]:
    """What is evaluated at a time."""
    parts = chunks(windows, batch, BYTES_IN_CACHE // tokens.itemsize)
    kept = dtype if dtype in HALVES else None
    return work_of(parts, derived.biases(block.attn.cpb_mlp, _shapes(parts), block.attn.trained_window, kept))


def _evaluated(block: FastBlock, dtype: torch.dtype, packed: dict[int, Tensor | None], tokens: int) -> EvaluatedBlock:
    attn, mlp = block.attn, block.mlp

    def layer(module: nn.Module, more: Tensor | None = None) -> Layer:
        """A linear layer, whose bias is elsewhere if there is `more`."""
        if type(module) is not nn.Linear:
            return CalledLinear(module, more, dtype)
        bias = module.bias if more is None else more
        if (ready := packed.get(id(module.weight))) is not None:
            return PackedLinear(ready, bias)
        bias = module.weight.new_zeros(len(module.weight)) if bias is None else bias
        return LinearWithGrad((module.weight, bias), (False, False), dtype, tokens)

    norms = [ResidualNorm((norm.weight, norm.bias), (False, False), norm.eps) for norm in (block.norm1, block.norm2)]
    scale = attn.scale().flatten()
    return EvaluatedBlock(
        qkv=layer(attn.qkv, attn.qkv_bias()),
        proj=layer(attn.proj),
        norm1=norms[0],
        fc1=layer(mlp.fc1),
        fc2=layer(mlp.fc2),
        norm2=norms[1],
        lengths=lengths_of(scale.to(torch.promote_types(dtype, torch.float32))),
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
    """Attention without gradients, a few windows at a time."""
    parts = chunks(windows, batch, BYTES_IN_CACHE // tokens.itemsize)
    dtype = tokens.dtype if tokens.dtype in HALVES else None
    biases = attn.derived().biases(attn.cpb_mlp, _shapes(parts), attn.trained_window, dtype)
    wide = torch.promote_types(tokens.dtype, torch.float32)
    lengths, qkv_bias = lengths_of(attn.scale().flatten().to(wide)), attn.qkv_bias().to(tokens.dtype)
    core = attention if dtype is None else attend_in_blocks
    out = tokens.new_empty(len(tokens), tokens.shape[1] // 3)
    for chunk in parts:
        qkv = split_heads(chunk.take(tokens) + qkv_bias, attn.num_heads)
        of_groups = [biases[shape].to(dtype or wide) for shape, _ in chunk.groups]
        chunk.put(core(qkv, lengths, chunk.groups, of_groups), out)
    return out


def _attend_with_grad(
    attn: FastAttention, tokens: Float[Tensor, "tokens c3"], windows: Windows, batch: int
) -> Float[Tensor, "tokens c"]:
    """Attention whose backward pass computes the scores again."""
    (whole,) = chunks(windows, batch, len(tokens))
    shapes = _shapes([whole])
    wide = torch.promote_types(tokens.dtype, torch.float32)
    qkv = _moved(tokens + attn.qkv_bias().to(tokens.dtype), whole.tokens, whole.inverse)
    biases = dict(zip(shapes, _biases(attn, shapes), strict=True))
    of_groups = [biases[shape].to(wide) for shape, _ in whole.groups]
    context = AttentionWithGrad.apply(
        split_heads(qkv, attn.num_heads).to(wide), attn.scale().flatten().to(wide), whole.groups, *of_groups
    )
    return _moved(context.to(tokens.dtype), whole.inverse, whole.tokens)


def _moved(x: Float[Tensor, "tokens c"], order: Tensor | None, inverse: Tensor | None) -> Float[Tensor, "tokens c"]:
    """Tokens in another order."""
    return x if order is None else Take.apply(x.unsqueeze(0), order, inverse).squeeze(0)


def _shapes(parts: Sequence[Chunk]) -> list[Size]:
    """Shapes of the windows in chunks, each once."""
    return list(dict.fromkeys(shape for chunk in parts for shape, _ in chunk.groups))


def _biases(attn: FastAttention, shapes: Sequence[Size]) -> list[Float[Tensor, "heads _ _"]]:
    """Position biases of windows, with gradients."""
    table = attn.cpb_mlp.table(largest_of(shapes), attn.trained_window)
    return [pairwise(table, shape) for shape in shapes]
