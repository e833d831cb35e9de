"""Blocks with packed weights as a CPU evaluates them: what can be settled ahead is, so that only operators remain.

Python between operators has to fetch its code and data anew each time, as operators drive them out of the cache; asking
every layer whether its weights are still those that were packed took some percent of the time of a small image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from .attention import HALVES, WindowAttention
from .engines.cpu.attention import Run, attend, attend_in_blocks, runs_of, set_length
from .engines.cpu.packing import Linear
from .layers import LayerNorm, Mlp, StochasticDepth
from .routes import Hop, Route
from .windows import Cut, Group

Layers = tuple[WindowAttention, LayerNorm, Mlp, LayerNorm, nn.Module]  # of a block, in order; the last ends it

HOOKS = ("forward", "forward_pre", "backward", "backward_pre")


@dataclass(frozen=True, eq=False)
class Part:
    """Tokens that a block takes at a time.

    Attributes:
        places: where they stand in the order of the cut.
        order: which tokens of those that come in they are; None for those that stand there.
        groups: shape and number of the windows of each shape.
        biases: position bias of each shape.
        runs: the same, as `attend` takes them.
    """

    places: slice
    order: Int[Tensor, " tokens"] | None
    groups: Sequence[Group]
    biases: Sequence[Float[Tensor, "h _ _"]]
    runs: Sequence[Run]


class EvaluatedStage:
    """The blocks of a stage, by weights as they were when this was made; copies and pickles of it are None.

    Writing to `weight.data`, which no version counts, goes unnoticed.

    Args:
        blocks: the layers of each block, their linear layers packed, all weights of one type.
        root: that holds the blocks, and nothing else.
    """

    def __init__(self, blocks: Sequence[Layers], root: nn.ModuleList):
        self.root = root
        self._blocks = [EvaluatedBlock(*layers) for layers in blocks]
        self._attentions = [layers[0] for layers in blocks]
        self._modules, self._weights = list(root.modules()), list(root.parameters())
        self._dtype = self._weights[0].dtype
        self._held = [weight.detach() for weight in self._weights]  # so that no others can get their places in memory
        self._attributes = [vars(module) for module in self._modules]
        inner: list[dict] = [held for module in self._modules for held in (module._modules, module._parameters)]
        self._inner = [held.values() for held in inner if held]  # views, which follow what becomes of them
        self._hooks = [getattr(module, f"_{kind}_hooks") for module in self._modules for kind in HOOKS]
        self._of_kind = {
            kind: [module for module in self._modules if isinstance(module, kind)]
            for kind in (StochasticDepth, LayerNorm, Linear)
        }
        self._marks = self._current_marks()
        self._settled: tuple[tuple, list[list[Part]]] = (), []

    def takes(self, x: Float[Tensor, "tokens c"]) -> bool:
        """Whether it is made for such tokens, and nobody wants to see modules called."""
        dropping = any(map(attrgetter("training"), self._of_kind[StochasticDepth]))
        looking = any(self._hooks) or _has_any_global_hook()
        return x.dtype == self._dtype and len(x) > 0 and not (dropping or looking or torch.is_autocast_enabled("cpu"))

    def is_current(self) -> bool:
        """Whether layers and weights are still what they were."""
        return self._current_marks() == self._marks

    def __call__(self, x: Float[Tensor, "tokens c"], way: Route, shift: bool, rows: int) -> Float[Tensor, "tokens c"]:
        """Tokens in the order of the last block's cut.

        Args:
            x: tokens in the order of the grid.
            way: through the cuts; what it needs is kept until another comes.
            shift: whether every second block cuts half a window later.
            rows: tokens that a block takes at a time, at most.
        """
        key = way, shift, rows, tuple(map(attrgetter("trained_window"), self._attentions))
        settled, parts = self._settled  # by one assignment, as threads may share a model
        if key != settled:
            with torch.inference_mode(False), torch.no_grad():
                steps = zip(self._blocks, way.steps(len(self._blocks), shift), strict=True)
                parts = [block.parts(hop, cast(Cut, cut), rows) for block, (hop, cut) in steps]
            self._settled = key, parts
        for block, of_block in zip(self._blocks, parts, strict=True):
            x = block(x, of_block)
        return x

    def _current_marks(self) -> tuple:
        """What changes if a layer or a weight is replaced or written to; all by functions that are not in Python."""
        return (
            tuple(map(type, self._modules)),
            tuple(map(len, self._attributes)),  # a `forward` that is put in place of the class's is one more
            tuple(map(id, chain.from_iterable(self._inner))),
            tuple(map(Tensor.data_ptr, self._weights)),
            tuple(map(attrgetter("_version"), self._weights)),
            tuple(map(attrgetter("eps"), self._of_kind[LayerNorm])),
            tuple(map(id, map(attrgetter("_packed._value"), self._of_kind[Linear]))),
        )

    def __reduce__(self) -> tuple:
        return type(None), ()


class EvaluatedBlock:
    """What `Block` computes without gradients.

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
        self._enorm = None if isinstance(enorm, nn.Identity) else enorm
        self._scale = attn.scale().float()
        self._lengths = torch.stack([self._scale, torch.ones_like(self._scale)]).unsqueeze(-1)  # (2, h, 1)
        self._narrow = attn.qkv.weight.dtype if attn.qkv.weight.dtype in HALVES else None

    def parts(self, hop: Hop | None, cut: Cut, rows: int) -> list[Part]:
        """Parts of at most `rows` tokens, if a window has no more."""
        found = self._attn.cpb_mlp(cut.shapes, self._attn.trained_window, self._narrow)
        biases = dict(zip(cut.shapes, found, strict=True))
        made = []
        for places, part in cut.parts(rows):
            of_part = [biases[shape] for shape in part.shapes]
            order = None if hop is None else hop.there[places]
            made.append(Part(places, order, part.groups, of_part, runs_of(part.groups, of_part)))
        return made

    def __call__(self, x: Float[Tensor, "tokens c"], parts: Sequence[Part]) -> Float[Tensor, "tokens c"]:
        """Tokens in the order of the cut."""
        if len(parts) == 1:
            return self._block(x if parts[0].order is None else x.index_select(0, parts[0].order), parts[0])
        out = torch.empty_like(x)
        for part in parts:
            given = x[part.places] if part.order is None else x.index_select(0, part.order)
            self._block(given, part, out[part.places])
        return out

    def _block(self, x: Float[Tensor, "tokens c"], part: Part, out: Tensor | None = None) -> Float[Tensor, "tokens c"]:
        x = x + torch.layer_norm(self._proj(self._attended(x, part)), *self._norm1)
        x = torch.add(x, torch.layer_norm(self._fc2(self._fc1(x)), *self._norm2), out=out)
        return x if self._enorm is None else x.copy_(self._enorm(x))

    def _attended(self, x: Float[Tensor, "tokens c"], part: Part) -> Float[Tensor, "tokens c"]:
        """Scaled cosine attention (eq. 2), which writes over the queries and keys."""
        qkv = self._qkv(x).view(-1, 3, self._attn.num_heads, x.shape[1] // self._attn.num_heads)
        if self._narrow is not None:
            return attend_in_blocks(qkv, self._scale, part.groups, part.biases)
        directions = qkv[:, :2]
        set_length(directions, self._lengths, directions)
        return attend(qkv, part.runs)
