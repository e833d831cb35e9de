"""What an engine is, and a block that asks engines before it computes itself."""

from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any, NoReturn, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules import module as every_module

from ..attention import WindowAttention
from ..backbone import Block, Stage
from ..windows import Windows, is_transformed
from .derived import HOOKS, Derived


@runtime_checkable
class Engine(Protocol):
    """Computes what `Block.forward` computes, to rounding.

    Attributes:
        name: by which it is chosen.
    """

    name: str

    def refusal(self, block: "FastBlock", x: Float[Tensor, "b *grid c"], windows: Windows) -> str | None:
        """Why it cannot compute this block for such tokens now; None if it can."""

    def __call__(
        self, block: "FastBlock", x: Float[Tensor, "b *grid c"], windows: Windows
    ) -> Float[Tensor, "b *grid c"]:
        """The tokens that `Block.forward` gives."""

    def attend(
        self, attn: "FastAttention", qkv: Float[Tensor, "b *grid c3"], windows: Windows
    ) -> Float[Tensor, "b *grid c"] | None:
        """What `WindowAttention.attend` gives, for a block whose layers are called one by one; None if it cannot."""

    def describe(self, block: "FastBlock", x: Float[Tensor, "b *grid c"], windows: Windows) -> str:
        """How it computes a block that it does not refuse, for a user to read."""

    def around(self, stage: "FastStage", x: Float[Tensor, "b *grid c"]) -> AbstractContextManager:
        """What is in force while the blocks of a stage are computed in training."""

    def prepare(self, block: "FastBlock") -> None:
        """Compute ahead what depends on weights alone, for evaluation; it is used as long as they are the same."""


class Keeper(nn.Module):
    """A module that keeps what is derived from its weights; copies and pickles do not, training forgets it."""

    def derived(self) -> Derived:
        """What is kept, or a new place for it where weights or parts have changed."""
        kept = vars(self).get("_derived")
        if kept is None or not kept.is_current():
            kept = self._derived = Derived(self)
        return kept

    def forget(self) -> None:
        """Let go what is kept."""
        vars(self).pop("_derived", None)

    def train(self, mode: bool = True) -> "Keeper":
        """Switch to training or to evaluation, and forget what was computed before a training.

        Lightning goes back to training by the attribute `training`, without a call.
        """
        if mode or self.training:
            self.forget()
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but what is derived."""
        return {name: value for name, value in self.__dict__.items() if name != "_derived"}


class FastAttention(Keeper, WindowAttention):
    """Attention that an engine computes where one can, although the layers around it are called one by one."""

    engines: tuple[Engine, ...] = ()

    def attend(self, qkv: Float[Tensor, "b *grid c3"], windows: Windows) -> Float[Tensor, "b *grid c"]:
        """As `WindowAttention.attend`."""
        for engine in self.engines:
            context = engine.attend(self, qkv, windows)
            if context is not None:
                return context
        return super().attend(qkv, windows)


class FastBlock(Keeper, Block):
    """A block that the first engine computes that can; where none can, it is computed as `Block` says.

    Attributes:
        engines: those that are asked, in turn.
        strict: whether it is an error if none can.
    """

    engines: tuple[Engine, ...] = ()
    strict = False

    def forward(self, x: Float[Tensor, "b *grid c"], windows: Windows) -> Float[Tensor, "b *grid c"]:
        """As `Block.forward`.

        Raises:
            ValueError: the engine that was asked for by its name cannot compute the block.
        """
        for engine in self.engines:
            reason = engine.refusal(self, x, windows)
            if reason is None:
                return engine(self, x, windows)
            if self.strict:
                raise ValueError(f"the engine {engine.name} cannot compute a block: {reason}; take auto or plain.")
        return super().forward(x, windows)

    @property
    def attention(self) -> FastAttention:
        """The attention, which has the same engines."""
        return cast(FastAttention, self.attn)


class FastStage(Stage):
    """A stage whose engines may do something for all its blocks at once.

    Attributes:
        engines: those of its blocks.
    """

    engines: tuple[Engine, ...] = ()

    def forward(self, x: Float[Tensor, "b *grid c"]) -> Float[Tensor, "b *grid c"]:
        """As `Stage.forward`."""
        if is_traced() or not self.training:
            return super().forward(x)
        with ExitStack() as stack:
            for engine in self.engines:
                stack.enter_context(engine.around(self, x))
            return super().forward(x)


with torch.device("meta"):
    BUILT = Block(1, 1, (1,), 1.0, 0.0, extra_norm=False, checkpointing=False)
KINDS = {name: type(part) for name, part in BUILT.named_modules()} | {"attn": FastAttention}
WEIGHTS = {name for name, _ in BUILT.named_parameters()}
HALVES = (("attn", "norm1", "drop_path"), ("mlp", "norm2", "drop_path"))  # parts of a block's attention, and of its MLP


def modification(part: nn.Module, place: str = "") -> str | None:
    """What is not as a block is built, so that its layers must be called one by one; None if nothing is.

    Args:
        part: a block, or what stands at a place in it; what ends a block (`enorm`) is called in any case.
        place: which one.
    """
    for name, module in part.named_modules(prefix=place, remove_duplicate=False):
        if not name:
            continue
        if type(module) is not KINDS.get(name) and not name.startswith("enorm"):
            return f"{name} is a {type(module).__name__}"
        if is_observed(module):
            return f"{name} has hooks or a forward of its own"
    given = {(name, type(weight)) for name, weight in part.named_parameters(place, remove_duplicate=False)}
    wanted = {(name, nn.Parameter) for name in WEIGHTS if name.startswith(place)}
    other = sorted(name for name, _ in given ^ wanted if not name.startswith("enorm"))
    return f"{other[0]} is not the plain parameter that a block is built with" if other else None


def modified_halves(block: nn.Module) -> list[str | None]:
    """What is not as a block is built, in its attention and in its MLP; None for one in which nothing is."""
    if modification(block) is None:
        return [None, None]
    reasons = [[modification(block.get_submodule(name), name) for name in half] for half in HALVES]
    return [next(filter(None, half), None) for half in reasons]


def global_hooks() -> str | None:
    """Reason to call a block's layers one by one if PyTorch has hooks for every module; None if it has none."""
    found = any(getattr(every_module, f"_global_{kind}_hooks") for kind in HOOKS)
    return "there are hooks of all modules" if found else None


def is_observed(module: nn.Module) -> bool:
    """Whether something wants to see the calls of a module, or does other than its class, so that it must be called."""
    return any(getattr(module, f"_{kind}_hooks") for kind in HOOKS) or "forward" in vars(module)


def must_call_bias(attention: FastAttention) -> bool:
    """Whether the network of the position bias must be called, rather than what it gives be kept."""
    check = partial(modification, attention.cpb_mlp, "attn.cpb_mlp")
    return attention.derived().get("modification", check) is not None


def is_recorded(block: nn.Module, x: Tensor) -> bool:
    """Whether autograd records the block: gradients are enabled, and its input or one of its weights requires them."""
    return torch.is_grad_enabled() and (x.requires_grad or any(weight.requires_grad for weight in block.parameters()))


def no_second_derivative(ctx: Any, *grads: Tensor | None) -> NoReturn:
    """Fail where gradients of an engine's gradients are asked for."""
    raise RuntimeError('engines have no second derivative; take swinv2.use_engine(model, "plain").')


def is_traced() -> bool:
    """Whether a graph of the operators is made, in which engines would not be seen, or tensors are not plain ones."""
    return is_transformed() or torch.jit.is_tracing()
