import itertools
import math
from collections import Counter

import pytest
import torch
from torch import nn

import swinv2
from benchmarks.limits import attention_products, products, segments
from benchmarks.peers import Work

NAME = "swinv2_tiny_window8_256"


@pytest.mark.parametrize("features", [False, True])
def test_products_are_those_of_our_linear_layers(features):
    """The shapes and counts are those of the model's layers, each with the tokens of its stage."""
    work = Work(NAME, 8, 2, 72, 40, features)
    with torch.device("meta"):
        model = swinv2.create_model(NAME)
    rows = [2 * 18 * 10, 2 * 9 * 5, 2 * 5 * 3, 2 * 3 * 2]
    expected = Counter({(rows[0], 48, 96): 1})
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and "cpb_mlp" not in name and name != "head":
            stage = int(name.split(".")[2]) + ("downsample" in name)
            expected[rows[stage], layer.in_features, layer.out_features] += 1
    assert products(work) == expected + Counter({} if features else {(2, 768, 1000): 1})


@pytest.mark.parametrize(("height", "width"), [(256, 256), (200, 88)])
def test_attention_is_counted_by_pairs_of_tokens(height, width):
    """Each pair of tokens in a window has two products of its channels, plain windows and shifted ones in turns."""

    def pairs(size, shifted):
        """Pairs along an axis whose places are in one window."""
        half = 4 * (shifted and size > 8)
        return sum((i + half) // 8 == (j + half) // 8 for i, j in itertools.product(range(size), repeat=2))

    expected = 0
    for stage, depth in enumerate((2, 2, 6, 2)):
        grid = [math.ceil(math.ceil(side / 4) / 2**stage) for side in (height, width)]
        both = sum(math.prod(pairs(size, shifted) for size in grid) for shifted in (False, True))
        expected += 3 * (depth // 2) * both * 2 * 96 * 2**stage
    assert attention_products(Work(NAME, 8, 3, height, width)) == expected


def test_segments_fill_the_axis():
    """A window's remnant is at the end, and half a window at the start when shifted."""
    assert segments(20, 8, False) == [8, 8, 4]
    assert segments(20, 8, True) == [4, 8, 8]
    assert segments(8, 8, True) == [8]
