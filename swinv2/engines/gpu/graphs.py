"""CUDA graphs of a backbone in evaluation: one launch for small inputs, which wait for hundreds otherwise.

A graph is captured at the second call with a size, and used if it gives what the model gave. What is bound to it, the
weights' places, parts, hooks, windows, is compared at each call (`engines/derived.py`).
"""

import logging
from collections.abc import Callable
from threading import Lock
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...backbone import SwinTransformerV2
from ..base import Keeper, global_hooks, is_traced
from .self_check import TOLERANCE, deviation

log = logging.getLogger(__name__)

NUMBERS = 2**21  # of the largest input: 10 images of 256 × 256 pixels; assumed, not measured
SIZES = 8  # of inputs whose graphs are kept

Features = list[Float[Tensor, "b _ *_"]]


class GraphedBackbone(Keeper, SwinTransformerV2):
    """A backbone that replays its forward pass in evaluation, where the input is small and no gradient is recorded."""

    def forward(self, x: Float[Tensor, "b channels *size"]) -> Features:
        """As `SwinTransformerV2.forward`."""
        if not self._may_replay(x):
            return super().forward(x)
        autocast = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
        windows = *self.window_size, *self.pretrained_window_sizes
        key = x.shape, x.dtype, x.device, torch.cuda.current_stream(x.device).cuda_stream, autocast, windows
        return self.derived().get("graphs", Graphs).features(key, super().forward, x)

    def train(self, mode: bool = True) -> "GraphedBackbone":
        """As `SwinTransformerV2.train`, which forgets the graphs."""
        super().train(mode)
        return self

    def _may_replay(self, x: Tensor) -> bool:
        if self.training or torch.is_grad_enabled() or not x.is_cuda or not 0 < x.numel() <= NUMBERS:
            return False
        return not (is_traced() or torch.cuda.is_current_stream_capturing() or global_hooks())


class Graphs:
    """Graphs of one state of a model, by size of its input and all else that they are bound to.

    Attributes:
        failed: whether one could not be captured, or gave other numbers, so that none is used any more.
    """

    def __init__(self) -> None:
        self.failed = False
        self._known: dict[Any, Graph | None] = {}  # the most recently used last; None where a size was seen once
        self._pools: dict[int, Any] = {}  # of memory; graphs of a stream share one, as their results are copied
        self._lock = Lock()

    def features(self, key: Any, forward: Callable[[Tensor], Features], x: Tensor) -> Features:
        """Features of an input.

        Args:
            key: what a graph is bound to.
            forward: the model.
            x: the input.
        """
        with self._lock:
            seen, graph = key in self._known, self._known.pop(key, None)
            if graph is not None:
                self._known[key] = graph
                return graph.replay(x)
            features = forward(x)
            if seen and not self.failed and all(feature.isfinite().all() for feature in features):
                graph = self._captured(forward, x, features)
            self._known[key] = graph
            while len(self._known) > SIZES:
                del self._known[next(iter(self._known))]
            return features

    def _captured(self, forward: Callable[[Tensor], Features], x: Tensor, wanted: Features) -> "Graph | None":
        """The graph of a forward pass; None if it gives other features than those that are wanted."""
        try:
            with torch.cuda.device_of(x):
                stream = torch.cuda.current_stream().cuda_stream
                if stream not in self._pools:  # graphs of another may run at the same time
                    self._pools[stream] = torch.cuda.graph_pool_handle()
                graph = Graph(forward, x, self._pools[stream])
                found = graph.replay(x)
            pairs = [(a.movedim(1, -1), b.movedim(1, -1)) for a, b in zip(found, wanted, strict=True)]
            wrong = [deviation(a, b.double(), TOLERANCE[b.dtype][0]) for a, b in pairs]
            reason = next(filter(None, wrong), None)
        except Exception as error:  # whatever a driver, or an operator that waits, says
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        if reason is None:
            return graph
        self.failed = True
        log.warning(f"No CUDA graphs are used, as one failed ({reason}); small batches take the time of all launches.")
        return None


class Graph:
    """A forward pass that is replayed.

    Args:
        forward: the model.
        x: an input of the size that it is for.
        pool: of memory.
    """

    def __init__(self, forward: Callable[[Tensor], Features], x: Tensor, pool: Any):
        with torch.inference_mode(False), torch.no_grad():
            self._input = x.clone(memory_format=torch.contiguous_format)
            on, dtype = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
            with torch.autocast("cuda", dtype, on, cache_enabled=False):  # 16-bit weights outlive no `with` statement
                self._graph, self._features = capture(lambda: forward(self._input), pool)

    def replay(self, x: Tensor) -> Features:
        """Features of an input."""
        self._input.copy_(x)
        self._graph.replay()
        return [feature.clone() for feature in self._features]


def capture(call: Callable[[], Features], pool: Any) -> tuple[Any, Features]:
    """The graph of a call, and where it writes its features; other threads may go on using the GPU meanwhile."""
    current, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(current)
    with torch.cuda.stream(side):
        call()
    current.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
        features = call()
    return graph, features
