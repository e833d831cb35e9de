"""What is computed from a block's weights alone, and when it is stale."""

from collections.abc import Callable, Hashable, Sequence
from itertools import chain, repeat
from operator import attrgetter
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..attention import ContinuousPositionBias, pairwise
from ..windows import Size

Value = TypeVar("Value")

BIAS_BUDGET = 2**22  # numbers of position biases that are kept for windows of images of other sizes
LARGEST_BIAS = 2**23  # numbers of a bias that is kept, 32 MiB; a larger one is made of its table whenever it is wanted
LARGEST_ON_CPU = 2**26  # the same on a CPU, which takes as long to make one as to attend to dozens of windows
HOOKS = ("forward", "forward_pre", "backward", "backward_pre")


class Derived:
    """Values that were computed from a module, to be used as long as its weights and its parts are the same.

    A weight is the same while it has its place in memory and PyTorch has counted no write to it. Writing to
    `weight.data`, by NumPy, or by an optimizer with `fused=True`, is not counted: whoever does so calls `train()`,
    `optimize_for_inference` or `use_engine` after it, which all forget what was computed. Only position biases, which a
    model keeps that nobody prepared, are computed from weights that are compared by their numbers, too, on a CPU.
    Copies and pickles have no such values.

    Args:
        module: the module.
    """

    def __init__(self, module: nn.Module):
        self._modules = list(module.modules())[1:]  # without itself, so that both are freed together
        self._weights = [weight for weight in module.parameters() if type(weight) is nn.Parameter]
        # so that no others can get their places in memory
        self._held = [held for weight in module.parameters() for held in (weight, weight.detach())]
        self._attributes = [vars(one) for one in self._modules]
        inner: list[dict] = [held for one in module.modules() for held in (one._modules, one._parameters)]
        self._inner = [held.values() for held in inner if held]  # views, which follow what becomes of them
        self._hooks = [getattr(one, f"_{kind}_hooks") for one in self._modules for kind in HOOKS]
        self._norms = [one for one in self._modules if isinstance(one, nn.LayerNorm)]
        small = [one for one in self._modules if isinstance(one, ContinuousPositionBias)]
        self._small = [weight for one in small for weight in one.parameters() if weight.device.type == "cpu"]
        self._numbers = [weight.detach().clone() for weight in self._small]
        self._counted = not any(weight.is_inference() for weight in self._weights)
        self._fingerprint = self._current()
        self._values: dict[Hashable, Any] = {}

    def is_current(self) -> bool:
        """Whether weights and parts are still what they were."""
        return self._current() == self._fingerprint

    def last(self, name: str, key: Hashable, compute: Callable[[], Value]) -> Value:
        """A value for a key that is kept until another key comes."""
        known = self._values.get(name)
        if known is None or known[0] != key:
            with torch.inference_mode(False), torch.no_grad():
                known = key, compute()
            self._values = self._values | {name: known}
        return known[1]

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """A value; computed if it was not yet."""
        values = self._values
        if key not in values:
            with torch.inference_mode(False), torch.no_grad():
                values = values | {key: compute()}
            self._values = values  # by one assignment, as threads may share a model
        return values[key]

    def biases(
        self, network: ContinuousPositionBias, windows: Sequence[Size], trained_window: Size, dtype: torch.dtype | None
    ) -> dict[Size, Tensor]:
        """Position biases of these windows, and of the most recently used others up to `BIAS_BUDGET` numbers.

        None are kept in training, where weights change without being counted, and none of more than `LARGEST_BIAS`
        numbers, or `LARGEST_ON_CPU`, but the table that they are made of.

        Args:
            network: part of the module.
            windows: slots along each axis.
            trained_window: window of the training, the unit in which offsets are measured.
            dtype: of the biases; that of the network if None.
        """
        if not all(map(torch.equal, self._numbers, self._small)):
            self._values, self._numbers = {}, [weight.detach().clone() for weight in self._small]
        key = ("biases", dtype)
        unit, table, kept = self._values.get(key, (None, None, {}))
        if network.training or unit != trained_window:
            table, kept = None, {}
        if all(window in kept for window in windows):
            return kept
        with torch.inference_mode(False), torch.no_grad():
            largest = largest_of(windows)
            if table is None or any(2 * w - 1 > offsets for w, offsets in zip(largest, table.shape[1:], strict=True)):
                before = [] if table is None else [tuple((offsets + 1) // 2 for offsets in table.shape[1:])]
                table = network.table(largest_of([*windows, *before]), trained_window)
            new = {w: kept[w] if w in kept else pairwise(table, w).to(dtype or table.dtype) for w in windows}
        others = {window: bias for window, bias in kept.items() if window not in new}
        while others and sum(bias.numel() for bias in others.values()) > BIAS_BUDGET:
            del others[next(iter(others))]
        if not network.training:
            most = LARGEST_ON_CPU if table.device.type == "cpu" else LARGEST_BIAS
            small = {w: bias for w, bias in (others | new).items() if bias.numel() <= most}
            self._values = self._values | {key: (trained_window, table, small)}
        return others | new

    def _current(self) -> tuple:
        """A fingerprint of weights and parts, by functions that are not in Python."""
        return (
            tuple(map(type, self._modules)),
            tuple(map(dict.__contains__, self._attributes, repeat("forward"))),
            tuple(map(len, self._hooks)),
            tuple(map(id, chain.from_iterable(self._inner))),
            tuple(map(Tensor.data_ptr, self._weights)),
            tuple(map(attrgetter("_version"), self._weights)) if self._counted else (),
            tuple(map(attrgetter("eps"), self._norms)),
        )


def largest_of(windows: Sequence[Size]) -> Size:
    """The smallest window that holds all of them."""
    return tuple(max(lengths) for lengths in zip(*windows, strict=True))
