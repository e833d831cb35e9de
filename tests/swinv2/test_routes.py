"""The way of tokens through the cuts of a stage."""

import pytest
import torch

from swinv2.routes import route

CPU = torch.device("cpu")
GRIDS = [
    ((13,), (4,)),
    ((16, 16), (8, 8)),
    ((9, 11), (4, 4)),
    ((5, 20), (8, 8)),
    ((8, 7, 9), (4, 3, 7)),
    ((3, 4, 4), (8, 2, 4)),
    ((7, 9, 5), (3, 5, 2)),
]


@pytest.mark.parametrize(("size", "window"), GRIDS)
@pytest.mark.parametrize("fit", ["fixed", "balanced"])
def test_route_leads_home(size, window, fit):
    """Entering, shifting, going back and leaving gives the grid again, from either cut."""
    way = route(3, size, window, fit, CPU)
    grid = torch.arange(len(way.plain.order))

    def walk(*hops):
        x = grid
        for hop in hops:
            x = x if hop is None else x[hop.there]
        return x

    assert torch.equal(walk(way.enter), way.plain.order)
    assert torch.equal(walk(way.enter, way.shift), way.shifted.order)
    assert torch.equal(walk(way.enter, way.leave), grid)
    assert torch.equal(walk(way.enter, way.shift, way.leave_shifted), grid)
    assert torch.equal(walk(way.enter, way.shift, way.unshift, way.leave), grid)
