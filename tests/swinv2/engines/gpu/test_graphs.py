"""CUDA graphs, of which only the calls can be seen without a GPU: what is captured, when, and what becomes of it."""

import copy
import logging
import pickle
from contextlib import contextmanager
from threading import Thread
from types import SimpleNamespace

import pytest
import torch

from swinv2 import optimize_for_inference, use_engine
from swinv2.backbone import SwinTransformerV2
from swinv2.engines.gpu import graphs
from swinv2.engines.gpu.graphs import GraphedBackbone


class OnGPU(torch.Tensor):
    """Says so, and computes as a tensor of the CPU."""

    is_cuda = True
    __torch_function__ = torch._C._disabled_torch_function_impl


def image(*size, seed=0):
    """Pixels on a GPU that is only said."""
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed)).as_subclass(OnGPU)


class StandIn:
    """A graph that calls again what it captured, and writes to the same place."""

    def __init__(self, call):
        self.call, self.features = call, [x.clone() for x in call()]

    def replay(self):
        for place, new in zip(self.features, self.call(), strict=True):
            place.copy_(new)


@pytest.fixture
def captured(monkeypatch):
    """Graphs that were captured."""
    made = []

    def capture(call, pool):
        made.append(StandIn(call))
        made[-1].pool = pool
        return made[-1], made[-1].features

    monkeypatch.setattr(graphs, "capture", capture)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: SimpleNamespace(cuda_stream=7))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    return made


@pytest.fixture
def model():
    """Prepared for evaluation."""
    torch.manual_seed(0)
    made = SwinTransformerV2(embed_dim=8, depths=(2, 1), num_heads=(1, 2), out_indices=(0, 1), window_size=4)
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return optimize_for_inference(made)


def plain(model, x):
    """What the plain model gives."""
    return use_engine(copy.deepcopy(model), "plain")(x.as_subclass(torch.Tensor))


@torch.no_grad()
def test_the_second_call_of_a_size_captures(model, captured):
    """Later ones replay, each with its own features; other sizes have graphs of their own."""
    for call in range(4):
        x = image(1, 3, 32, 24, seed=call)
        found = model(x)
        for ours, theirs in zip(found, plain(model, x), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
        assert len(captured) == (call > 0)
    before = [x.clone() for x in found]
    model(image(1, 3, 32, 24, seed=9))
    assert all(map(torch.equal, before, found))
    for _ in range(2):
        model(image(2, 3, 32, 24))
    assert len(captured) == 2


@torch.inference_mode()
def test_what_inference_mode_captured_serves_outside_of_it(model, captured):
    """Its memory is written to at every call."""
    for _ in range(2):
        model(image(1, 3, 32, 24))
    with torch.inference_mode(False), torch.no_grad():
        model(image(1, 3, 32, 24))
    assert len(captured) == 1


def write(model):
    """A change: of a weight in place."""
    model.layers[0].blocks[0].mlp.fc1.weight.mul_(2)


def replace(model):
    """A change: of a weight."""
    layer = model.layers[0].blocks[0].mlp.fc1
    layer.weight = torch.nn.Parameter(layer.weight * 2)


def hook(model):
    """A change: somebody wants to see calls."""
    model.layers[0].register_forward_hook(lambda *_: None)


def window(model):
    """A change: of the window."""
    model.set_window_size(2)


def unit(model):
    """A change: of the unit of the position bias."""
    model.set_pretrained_window_sizes(6)


def train(model):
    """A training in between."""
    model.train().eval()


@torch.no_grad()
@pytest.mark.parametrize("change", [write, replace, hook, window, unit, train])
def test_what_a_graph_is_bound_to(model, captured, change):
    """After a change of it there is another graph, and the numbers are those of the model as it is."""
    x = image(1, 3, 32, 24)
    for _ in range(3):
        model(x)
    change(model)
    for _ in range(3):
        found = model(x)
    assert len(captured) == 2
    for ours, theirs in zip(found, plain(model, x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_autocast_has_graphs_of_its_own(model, captured, monkeypatch):
    """Of its types."""
    for _ in range(2):
        model(image(1, 3, 32, 24))
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind=None: False)
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda kind: torch.bfloat16)
    for _ in range(2):
        model(image(1, 3, 32, 24))
    assert len(captured) == 2


@pytest.mark.parametrize("case", ["gradients", "training", "large", "empty", "CPU", "capturing", "plain"])
def test_where_there_are_no_graphs(model, captured, monkeypatch, case):
    """Where gradients are recorded, launches are not what takes the time, or another graph is captured."""
    x = image(0 if case == "empty" else 1, 3, 32, 24)
    if case == "training":
        model.train()
    elif case == "large":
        monkeypatch.setattr(graphs, "NUMBERS", 100)
    elif case == "CPU":
        x = x.as_subclass(torch.Tensor)
    elif case == "capturing":
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    elif case == "plain":
        use_engine(model, "plain")
        assert type(model) is SwinTransformerV2
    with torch.set_grad_enabled(case == "gradients"):
        for _ in range(3):
            model(x)
    assert captured == []


@torch.no_grad()
def test_a_graph_with_other_numbers_is_not_used(model, captured, monkeypatch, caplog):
    """Neither is any other after it; a line says so."""
    monkeypatch.setattr(StandIn, "replay", lambda self: [x.add_(1) for x in self.features])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            found = model(image(1, 3, 32, 24))
    for ours, theirs in zip(found, plain(model, image(1, 3, 32, 24)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    (said,) = caplog.messages
    assert "No CUDA graphs are used, as one failed (" in said
    for _ in range(3):
        model(image(2, 3, 32, 24))
    assert len(captured) == 1


@torch.no_grad()
def test_an_image_of_nan_is_no_failure(model, captured, caplog):
    """The next one of its size is captured."""
    bad = image(1, 3, 32, 24)
    bad[0, 0, 0, 0] = torch.nan
    for x in (bad, bad, image(1, 3, 32, 24)):
        model(x)
    assert len(captured) == 1
    assert caplog.messages == []


@torch.no_grad()
def test_what_cannot_be_captured_is_computed_as_usual(model, captured, monkeypatch, caplog):
    """An operator that waits, or a driver that is too old."""

    def fail(call, pool):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graphs, "capture", fail)
    with caplog.at_level(logging.WARNING):
        found = [model(image(1, 3, 32, 24)) for _ in range(3)]
    assert all(torch.equal(one, other) for one, other in zip(found[0], found[2], strict=True))
    assert caplog.text.count("operation not permitted") == 1


@torch.no_grad()
def test_few_sizes_are_kept(model, captured):
    """The most recently used."""
    for width in [*range(16, 16 + 4 * graphs.SIZES, 4), 16, 100, 104]:
        for _ in range(2):
            model(image(1, 3, 16, width))
    known = model.derived().get("graphs", pytest.fail)._known
    assert [key[0][-1] for key in known] == [*range(28, 16 + 4 * graphs.SIZES, 4), 16, 100, 104]


@torch.no_grad()
def test_copies_and_pickles_have_no_graphs(model, captured):
    """And are as prepared as before."""
    for _ in range(2):
        model(image(1, 3, 32, 24))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert isinstance(other, GraphedBackbone)
        assert "_derived" not in vars(other)


@torch.no_grad()
def test_threads_take_turns(model, captured):
    """One input at a time is where the graph reads it."""
    images = [image(1, 3, 32, 24, seed=seed) for seed in range(4)]
    wanted, found = [model(x)[0].clone() for x in images], {}

    def call(i):
        with torch.no_grad():
            for _ in range(5):
                found[i] = model(images[i])[0]

    threads = [Thread(target=call, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[i], wanted[i]) for i in range(4))


@torch.no_grad()
def test_streams_share_no_memory(model, captured, monkeypatch):
    """Their graphs may run at the same time, those of one stream never do."""
    for stream, size in ((7, 32), (7, 24), (8, 32)):
        monkeypatch.setattr(torch.cuda, "current_stream", lambda *_, s=stream: SimpleNamespace(cuda_stream=s))
        for _ in range(2):
            model(image(1, 3, size, 24))
    one, same, other = (graph.pool for graph in captured)
    assert one is same
    assert one is not other


def test_how_a_graph_is_captured(monkeypatch):
    """Once on a stream of its own, then within the graph, with the memory of all; other threads may use the GPU.

    Loading data pins memory in a thread, which the usual mode of capturing would let fail.
    """
    calls, modes = [], []

    class Stream:
        def wait_stream(self, other):
            calls.append("wait")

    @contextmanager
    def within(*given, **named):
        calls.append(named.get("pool", "side"))
        modes.append(named.get("capture_error_mode"))
        yield

    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", within)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: "a graph")
    monkeypatch.setattr(torch.cuda, "graph", within)
    features = torch.zeros(1, 1, 1)
    assert graphs.capture(lambda: calls.append("call") or [features], "a pool") == ("a graph", [features])
    assert calls == ["wait", "side", "call", "wait", "a pool", "call"]
    assert modes == [None, "thread_local"]
