"""Tokens in window order, in chunks."""

import math

import pytest
import torch

from swinv2.engines.cpu.order import chunks
from swinv2.windows import cut

CPU = torch.device("cpu")
GRIDS = [((13,), (4,)), ((16, 16), (8, 8)), ((9, 11), (4, 4)), ((8, 7, 9), (4, 3, 7)), ((7, 9, 5), (3, 5, 2))]


@pytest.mark.parametrize("most", [1, 10, 64, 10_000])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(("size", "window"), GRIDS)
def test_chunks_are_whole_windows_and_cover_everything(size, window, shifted, most):
    """Each token is in one chunk, with the others of its window, in the order of the slots; images are told."""
    windows, tokens = cut(size, window, shifted, CPU), math.prod(size)
    expected = {tuple(row[filled].tolist()) for row, filled in zip(windows.token, windows.filled, strict=True)}
    found, start = [], 0
    for chunk in chunks(windows, 2, most):
        assert chunk.places.start == start
        assert sum(math.prod(shape) * count for shape, count in chunk.groups) == len(chunk.tokens)
        assert len(chunk.tokens) <= most or sum(count for _, count in chunk.groups) == 1
        assert torch.equal(chunk.image, chunk.tokens // tokens)
        lengths = [math.prod(shape) for shape, count in chunk.groups for _ in range(count)]
        found += [tuple(part.tolist()) for part in chunk.tokens.split(lengths)]
        start = chunk.places.stop
    assert start == 2 * tokens
    assert {part for part in found if part[0] < tokens} == expected
    assert {tuple(token - tokens for token in part) for part in found if part[0] >= tokens} == expected


def test_chunks_are_as_full_as_whole_windows_allow():
    """In windows of 8 x 8 and smaller ones at the borders."""
    windows = cut((20, 22), (8, 8), True, CPU)
    assert [len(chunks(windows, 2, most)) for most in (1, 10, 64, 10_000)] == [24, 24, 14, 1]


@pytest.mark.parametrize("most", [20, 10_000])
def test_tokens_come_back(most):
    """What is taken is put where it was."""
    windows, x = cut((9, 11), (4, 4), True, CPU), torch.randn(2 * 99, 3)
    parts, out = chunks(windows, 2, most), torch.empty_like(x)
    for chunk in parts:
        chunk.put(chunk.take(x), out)
    assert torch.equal(out, x)
    if len(parts) == 1:
        assert torch.equal(parts[0].put_all(parts[0].take(x)), x)


def test_nothing_moves_where_a_window_is_a_grid():
    """Window order is then the order of the grids."""
    for most in (15, 10_000):
        for chunk in chunks(cut((3, 5), (8, 8), True, CPU), 4, most):
            assert chunk.tokens is None
            assert chunk.groups[0][0] == (3, 5)
