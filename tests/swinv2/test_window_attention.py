"""Every way of computing the attention against the ten plain lines."""

import pytest
import torch
import torch.nn.functional as F

from swinv2.attention import window_attention
from swinv2.engines.gpu.plain import grid_attention
from swinv2.reference import reference_attention
from swinv2.windows import cut, grid_cut

CPU = torch.device("cpu")
GRIDS = [((7, 9), (4, 4)), ((8, 8), (8, 8)), ((5, 4, 6), (2, 3, 4)), ((11,), (4,)), ((40, 33), (16, 16))]
HEADS, WIDTH, BATCH = 2, 8, 2


def inputs(size, window, shifted, fit, dtype):
    """Queries, keys and values in grid order, scale, and a bias of every pair in a tile; and both ways to cut."""
    torch.manual_seed(0)
    layout, grid = (make(BATCH, size, window, shifted, fit, CPU) for make in (cut, grid_cut))
    tile = torch.Size(grid.window).numel()
    given = [
        torch.randn(len(layout.order), 3, HEADS, WIDTH),
        1 + 9 * torch.rand(HEADS),
        4 * torch.randn(HEADS, tile, tile),
    ]
    return layout, grid, [tensor.to(dtype).requires_grad_() for tensor in given]


def biases_of(bias, layout, grid):
    """Of each shape of windows, from that of the tile that holds it."""
    slots = torch.arange(torch.Size(grid.window).numel()).view(grid.window)
    found = []
    for shape in layout.shapes:
        inside = slots[tuple(slice(length) for length in shape)].flatten()
        found.append(bias[:, inside][:, :, inside])
    return found


def in_windows(qkv, scale, bias, layout, grid, overwrite=False):
    """What evaluation and training in window order use; without leave, the input stays as it is."""
    out = torch.empty(len(qkv), HEADS * WIDTH, dtype=qkv.dtype)
    given = qkv[layout.order]
    kept = given.detach().clone()
    found = window_attention(given, scale, biases_of(bias, layout, grid), layout, overwrite)
    written = overwrite and not torch.is_grad_enabled() and qkv.dtype != torch.bfloat16
    assert torch.equal(given, kept) == (not written)
    return out.index_copy(0, layout.order, found)


def in_place(qkv, scale, bias, layout, grid):
    """The same with leave to write over queries and keys, which is taken where no gradient is asked for."""
    return in_windows(qkv, scale, bias, layout, grid, overwrite=True)


def in_grid(qkv, scale, bias, layout, grid):
    """What torch.compile traces, in grid order."""
    return grid_attention(qkv.unflatten(0, (BATCH, *grid.size)), scale, bias, grid).flatten(0, -2)


def by_reference(qkv, scale, bias, layout, grid):
    """The ten lines."""
    out = torch.empty(len(qkv), HEADS * WIDTH, dtype=qkv.dtype)
    found = reference_attention(qkv[layout.order], scale, layout.groups, biases_of(bias, layout, grid))
    return out.index_copy(0, layout.order, found)


@pytest.mark.parametrize(("size", "window"), GRIDS)
@pytest.mark.parametrize(("shifted", "fit"), [(False, "fixed"), (True, "fixed"), (True, "balanced")])
@pytest.mark.parametrize("way", [in_windows, in_place, in_grid])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_value_and_gradients_are_those_of_the_reference(size, window, shifted, fit, way, dtype, tolerance):
    """In 1-D to 3-D, plain, shifted and balanced, with and without gradients."""
    layout, grid, given = inputs(size, window, shifted, fit, dtype)
    wanted, found = by_reference(*given, layout, grid), way(*given, layout, grid)
    slope = torch.randn_like(wanted)
    pairs = [(found, wanted), *zip(*(torch.autograd.grad(y, given, slope) for y in (found, wanted)), strict=True)]
    with torch.no_grad():
        pairs.append((way(*(tensor.clone() for tensor in given), layout, grid), wanted))
    for one, other in pairs:
        assert (one - other).abs().max() <= tolerance * other.abs().max()


@torch.no_grad()
@pytest.mark.parametrize(("size", "window"), GRIDS)
@pytest.mark.parametrize("way", [in_windows, in_grid])
def test_bfloat16_is_no_further_from_float64_than_the_reference_in_bfloat16(size, window, way):
    """Rounding queries, scores and weights as the ten lines would is the most that is allowed."""
    layout, grid, given = inputs(size, window, True, "fixed", torch.float64)
    exact = by_reference(*given, layout, grid)
    halves = [tensor.bfloat16() for tensor in given]
    errors = [
        F.mse_loss(one(*(t.clone() for t in halves), layout, grid).double(), exact) for one in (way, by_reference)
    ]
    assert errors[0] <= 1.05 * errors[1]


@torch.no_grad()
def test_queries_keys_and_values_may_lie_apart():
    """As three layers of their own give them."""
    layout, grid, (qkv, scale, bias) = inputs((7, 9), (4, 4), True, "fixed", torch.float32)
    wanted = in_windows(qkv, scale, bias, layout, grid)
    apart = qkv[layout.order].transpose(0, 1).contiguous().transpose(0, 1)
    found = window_attention(apart, scale, biases_of(bias, layout, grid), layout)
    torch.testing.assert_close(found, wanted[layout.order])
