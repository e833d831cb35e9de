"""The same blocks, faster: `Block` says what is computed, engines how.

`use_engine` gives a block its engines; `FastBlock.forward` in `base.py` asks them in turn. The first that does not
refuse computes the block, and where all refuse it is computed as `swinv2.backbone.Block` says. Values and gradients are
the same to rounding.
"""

from collections import Counter
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from torch import nn

from ..attention import WindowAttention
from ..backbone import Block, Stage, SwinTransformerV2
from .base import Engine, FastAttention, FastBlock, FastStage, Keeper
from .cpu.engine import CpuEngine
from .gpu.engine import GpuEngine
from .gpu.graphs import GraphedBackbone

Choice = Literal["auto", "plain", "cpu", "gpu"]

ENGINES: dict[str, tuple[Engine, ...]] = {
    "auto": (GpuEngine(), CpuEngine()),
    "plain": (),
    "cpu": (CpuEngine(),),
    "gpu": (GpuEngine(),),
}
NAMED = ("cpu", "gpu")  # whose refusal is an error


def use_engine(model: nn.Module, engine: Choice) -> nn.Module:
    """Say what computes the blocks of a model; what was prepared before is forgotten.

    Args:
        model: that holds a backbone; changed in place.
        engine: "auto" for the first that can, else as the plain model does; "plain" for that alone; the name of one
            for that one, and an error where it cannot.

    Returns:
        The model.

    Raises:
        ValueError: there is no such engine.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine is one of {', '.join(ENGINES)}, got {engine!r}.")
    for module in model.modules():
        if type(module) in (WindowAttention, FastAttention):
            module.__class__ = FastAttention if ENGINES[engine] else WindowAttention
        elif type(module) in (Block, FastBlock):
            module.__class__ = FastBlock if ENGINES[engine] else Block
        elif type(module) in (Stage, FastStage):
            module.__class__ = FastStage if ENGINES[engine] else Stage
        elif isinstance(module, GraphedBackbone):
            vars(module).pop("_derived", None)
            module.__class__ = SwinTransformerV2  # type: ignore[assignment]
        if isinstance(module, WindowAttention | Block | Stage):
            vars(module).update(engines=ENGINES[engine], strict=engine in NAMED)
        if isinstance(module, Keeper):
            module.forget()
    return model


class Watch(AbstractContextManager):
    """Notes what computes each block of a model when it is first called.

    Args:
        model: that holds a backbone.

    Attributes:
        found: what computes a block, and why no other engine does, by the name of the block.
    """

    def __init__(self, model: nn.Module):
        self.found: dict[str, str] = {}
        named = model.named_modules()
        self._blocks: dict[nn.Module, str] = {module: name for name, module in named if isinstance(module, Block)}
        self._handles: list[Any] = []

    def __enter__(self) -> "Watch":
        """Begin."""
        self._handles = [block.register_forward_pre_hook(self._note, with_kwargs=True) for block in self._blocks]
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        for handle in self._handles:
            handle.remove()

    def _note(self, block: nn.Module, given: tuple, named: dict[str, Any]) -> None:
        self.found.setdefault(self._blocks[block], described(block, *given, **named))

    def summary(self) -> str:
        """Blocks that are computed alike in one phrase."""
        counts = Counter(self.found.values())
        return "; ".join(f"{number} block{'s' * (number > 1)} by {text}" for text, number in counts.items())


def explain(model: nn.Module, *inputs: Any) -> str:
    """What computes each block of a model for such inputs, and why no other engine does; runs the model once.

    Args:
        model: that holds a backbone.
        inputs: what the model is called with.

    Returns:
        A line for each block.
    """
    with Watch(model) as watch:
        model(*inputs)
    return "\n".join(f"{name}: {text}" for name, text in watch.found.items())


def described(block: nn.Module, x: torch.Tensor, windows: Any) -> str:
    """What computes a block for such tokens, and why no other engine does."""
    if not isinstance(block, FastBlock):
        return (
            "plain, as no other was chosen" if type(block) is Block else f"plain: the block is a {type(block).__name__}"
        )
    reasons = []
    for engine in block.engines:
        reason = engine.refusal(block, x, windows)
        if reason is None:
            return engine.describe(block, x, windows)
        reasons.append(f"{engine.name}: {reason}")
    return f"plain ({'; '.join(reasons)})"


def optimize_for_inference(model: nn.Module) -> nn.Module:
    """Prepare a model for evaluation: blocks compute ahead what depends on their weights alone.

    To be called when the weights are loaded. On a CPU, in float32 or bfloat16, linear layers of blocks keep their
    weights packed, which takes as much memory once more. On a GPU, small inputs of a size that comes again are computed
    by CUDA graphs. Weights that change later are used as they are, at the usual speed; but what `weight.data`, NumPy or
    a fused optimizer writes goes unnoticed, call this again after it. On Linux the process keeps up to 64 MiB of freed
    memory from now on. A model whose engine nobody chose gets the best one.

    Args:
        model: that holds a backbone; changed in place.

    Returns:
        The model.
    """
    if any(type(module) is Block and "engines" not in vars(module) for module in model.modules()):
        use_engine(model, "auto")
    for module in model.eval().modules():
        if isinstance(module, Keeper):
            module.forget()
        if isinstance(module, FastBlock):
            for engine in module.engines:
                engine.prepare(module)
        elif type(module) is SwinTransformerV2 and any(isinstance(stage, FastStage) for stage in module.stages):
            module.__class__ = GraphedBackbone  # which has graphs on a GPU alone
    return model
