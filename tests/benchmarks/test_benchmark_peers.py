import pytest
import torch

from benchmarks.peers import Work, error, having, our_model, peers


@torch.inference_mode()
@pytest.mark.parametrize(
    "work",
    [
        Work("swinv2_tiny_window8_256", 8, 1, 256, 256),
        Work("swinv2_tiny_window16_256", 16, 1, 256, 256, features=True),
    ],
    ids=["logits", "features"],
)
def test_all_compute_the_same_function(work):
    """What is timed side by side gives the same logits or maps, whatever the project."""
    assert work.whole
    found = {name: model.eval()(work.images()) for name, model in peers(work).items()}
    assert list(found) == having(work)
    ours = our_model(work).eval()(work.images())
    assert all(error(output, ours)[0] < 1e-5 for output in found.values())
    if work.features:
        assert all(a.shape == b.shape for output in found.values() for a, b in zip(output, ours, strict=True))


def test_windows_that_do_not_fill_the_maps_are_noticed():
    """At such sizes peers compute another function, and are not compared."""
    assert not Work("swinv2_tiny_window8_256", 8, 1, 800, 1216).whole
