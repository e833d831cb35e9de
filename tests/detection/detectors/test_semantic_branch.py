import pytest
import torch
import torch.nn.functional as F

from detection.detectors.semantic_branch import SemanticBranch


def maps(size=64, channels=6, batch=2):
    """A random pyramid of five levels."""
    torch.manual_seed(0)
    return [torch.randn(batch, channels, -(-size // s), -(-size // s)) for s in (4, 8, 16, 32, 64)]


def branch(**options):
    """A branch of four classes."""
    torch.manual_seed(0)
    return SemanticBranch(6, 5, 4, **options)


def test_output_has_stride_eight():
    """Features and logits come at the second level, whatever the size of the image."""
    features, logits = branch()(maps(100))
    assert features.shape == (2, 6, 13, 13)
    assert logits.shape == (2, 4, 13, 13)


def test_every_level_is_heard():
    """Each level of the pyramid changes the features."""
    model, pyramid = branch(), maps()
    features, _ = model(pyramid)
    for level in range(5):
        changed = [x + (i == level) for i, x in enumerate(pyramid)]
        assert (model(changed)[0] - features).abs().max() > 1e-4


def test_loss_is_the_mean_over_known_places():
    """Cross-entropy at the centres of the strides, without what is ignored, times the weight."""
    logits = torch.randn(1, 4, 8, 8)
    target = torch.full((64, 64), 255, dtype=torch.uint8)
    target[:32, :] = 2
    found = branch(loss_weight=0.5).loss(logits, [target])
    wanted = F.cross_entropy(logits[:, :, :4], torch.full((1, 4, 8), 2))
    assert found.item() == pytest.approx(0.5 * wanted.item())


def test_map_that_is_ignored_everywhere_costs_nothing():
    """No known place gives a loss of zero that still has a gradient."""
    logits = torch.randn(1, 4, 8, 8, requires_grad=True)
    loss = branch().loss(logits, [torch.full((64, 64), 255, dtype=torch.uint8)])
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()
