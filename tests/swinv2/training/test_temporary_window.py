"""Another window for a while."""

import pytest

from swinv2 import create_backbone
from swinv2.training.temporary_window import temporary_window

SMALL = {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 1)}


@pytest.fixture
def backbone():
    """A backbone of two stages."""
    return create_backbone("swinv2_tiny_window8_256", out_indices=(0, 1), **SMALL)


@pytest.mark.parametrize(("given", "inside"), [(4, (4, 4)), (None, (8, 8)), ([5, 6], (5, 6))])
def test_window_is_put_back(backbone, given, inside):
    """Inside there is the other one, or with None the own, afterwards what was before."""
    with temporary_window(backbone, given):
        assert backbone.window_size[0] == inside
    assert backbone.window_size == [(8, 8)] * 2


def test_window_is_put_back_after_an_error(backbone):
    """Whatever happens inside."""
    with pytest.raises(KeyError), temporary_window(backbone, 4):
        raise KeyError
    assert backbone.window_size == [(8, 8)] * 2


def test_window_that_does_not_fit(backbone):
    """Three numbers for two axes and two stages are refused."""
    with pytest.raises(ValueError, match="window_size"), temporary_window(backbone, [4, 4, 4]):
        pass
