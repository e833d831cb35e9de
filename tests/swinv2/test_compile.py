"""The backbone under torch.compile, in a process without the type checks of the test run, which no graph can hold."""

import subprocess
import sys
from textwrap import dedent

import pytest

COUNT = """
import torch
import swinv2

graphs = []

def count(graph, inputs):
    graphs.append(graph)
    return graph.forward

def compare(ours, expected):
    slopes = [torch.autograd.grad(y.square().mean(), model.parameters(), retain_graph=True, allow_unused=True)
              for y in (ours, expected)]
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)

torch.manual_seed(0)
model = swinv2.create_backbone("swinv2_tiny_window8_256", embed_dim=16, window_size=4, **OPTIONS)
model.train(TRAINING)
compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=count)
with torch.set_grad_enabled(TRAINING):
    for height, width in SIZES:
        x = torch.randn(2, 3, height, width)
        for ours, expected in zip(compiled(x), model(x), strict=True):
            torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)
            if TRAINING:
                compare(ours, expected)
print(len(graphs))
"""


def graphs(sizes, options=None, training=False):
    """Number of graphs that a model is compiled to for inputs of some sizes, having compared its features."""
    code = f"OPTIONS, SIZES, TRAINING = {options or {}!r}, {sizes!r}, {training!r}\n{dedent(COUNT)}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return int(done.stdout.split()[-1])


STAGES = {"depths": [2, 2], "num_heads": [1, 2], "out_indices": (0, 1)}
STAGE = {"depths": [2], "num_heads": [1], "out_indices": (0,)}


@pytest.mark.parametrize(("options", "training"), [(STAGES, False), (STAGE, True)])
def test_the_whole_model_is_one_graph_and_two_serve_all_sizes(options, training):
    """Sizes larger than the windows, odd ones too, are not compiled one by one, and no graph breaks."""
    sizes = [(64, 96), (67, 101), (120, 88), (203, 51), (52, 49), (96, 64)]
    assert graphs(sizes, options, training) <= 2
