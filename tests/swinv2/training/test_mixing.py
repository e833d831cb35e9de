"""Mixup and CutMix of images and clips."""

import pytest
import timm.data.mixup as timm_mixup
import torch
from timm.loss import SoftTargetCrossEntropy
from torch.nn.functional import cross_entropy

from swinv2.training.mixing import Mixing, cutmix, mixup

LABELS = torch.tensor([2, 0, 1])
SIZES = [(8, 8), (2, 8, 8)]  # of images, of clips


def batch(size=(2, 8, 8)):
    """Three images or clips, each of its own grey."""
    grey = torch.tensor([0, 100, 200], dtype=torch.uint8)
    return grey.view(-1, *[1] * (1 + len(size))).expand(3, 3, *size).contiguous()


def mixed(size=(2, 8, 8), **alphas):
    """Fifty mixtures of the three."""
    mixing = Mixing(4, **alphas)
    return [mixing(batch(size), LABELS) for _ in range(50)]


@pytest.mark.parametrize("size", SIZES)
def test_shapes_and_shares(size):
    """What is mixed keeps its shape, from 0 to 1; the shares of its classes sum up to 1."""
    for images, shares in mixed(size):
        assert (type(images), images.shape, images.dtype) == (torch.Tensor, (3, 3, *size), torch.float32)
        assert images.min() >= 0
        assert images.max() <= 1
        assert torch.allclose(shares.sum(1), torch.ones(3))
        assert (shares[:, 3] == 0).all()


@pytest.mark.parametrize("size", SIZES)
def test_mixup_blends_the_first_with_the_last(size):
    """Grey and shares follow the same weights, all pixels alike."""
    grey = torch.tensor([0.0, 100.0, 200.0]) / 255
    for images, shares in mixed(size, cutmix_alpha=0.0):
        own = shares[0, LABELS[0]]
        wanted = own * grey + (1 - own) * grey.flip(0)
        assert torch.allclose(images, wanted.view(-1, *[1] * (1 + len(size))).expand_as(images), atol=1e-6)


def test_cutmix_puts_a_rectangle_into_all_frames():
    """A clip shows itself and its partner, in the same pixels of all frames; shares are areas."""
    inner = 0
    for images, shares in mixed(mixup_alpha=0.0):
        own = (images * 255).round() == batch()
        assert torch.equal(own[::2], own[:1, :1, :1].expand_as(own[::2]))
        share = own[0, 0, 0].float().mean()
        assert torch.allclose(shares[(0, 2), LABELS[::2]], share)
        inner += bool(0 < share < 1)
    assert inner > 25


def test_both_kinds_are_drawn():
    """With both parameters about half of the batches are blended, the others cut."""
    blended = [not set((images * 255).unique().round().int().tolist()) <= {0, 100, 200} for images, _ in mixed()]
    assert 15 < sum(blended) < 35


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("size", [(12, 12), (9, 15)])
def test_images_targets_and_loss_are_those_of_timm(cut, smoothing, size, monkeypatch):
    """With the same draws, images and loss equal those of timm's Mixup and its loss with label smoothing."""
    images, labels, logits = torch.rand(4, 3, *size), torch.tensor([3, 0, 0, 4]), torch.randn(4, 5)
    peer = timm_mixup.Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=smoothing, num_classes=5)
    for share in (0.07, 0.3, 0.64, 0.99):
        row, column = (int(torch.randint(side, ())) for side in size)
        draws, their_draws = iter([int(cut), row, column]), iter([row, column])
        monkeypatch.setattr("swinv2.training.mixing.random_integer", lambda least, greatest, draws=draws: next(draws))
        monkeypatch.setattr("numpy.random.randint", lambda *_, draws=their_draws, **__: next(draws))
        monkeypatch.setattr(peer, "_params_per_batch", lambda share=share: (share, cut))
        monkeypatch.setattr("torch.distributions.Beta.sample", lambda *_, share=share: torch.tensor(share))
        ours, shares = Mixing(5)(images, labels)
        theirs, targets = peer(images.clone(), labels)
        assert torch.allclose(ours, theirs, atol=1e-6)
        loss = cross_entropy(logits, shares, label_smoothing=smoothing)
        assert torch.allclose(loss, SoftTargetCrossEntropy()(logits, targets), rtol=1e-6)


@pytest.mark.parametrize(("alpha", "deviation"), [(0.8, 0.3101), (1.0, 0.2887)])
def test_shares_follow_the_beta_distribution(alpha, deviation):
    """Mean 1/2 and standard deviation 1 / (2 * sqrt(2 * alpha + 1)), over the whole range."""
    mixing = Mixing(2, mixup_alpha=alpha, cutmix_alpha=0.0)
    images = torch.zeros(2, 3, 1, 1)
    drawn = torch.stack([mixing(images, torch.tensor([0, 1]))[1][0, 0] for _ in range(2000)])
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.03)
    assert drawn.std().item() == pytest.approx(deviation, abs=0.015)
    assert drawn.min() < 0.02
    assert drawn.max() > 0.98


@pytest.mark.parametrize("kind", [mixup, cutmix])
def test_share_one_changes_nothing(kind):
    """With the whole share its own an image stays as it is."""
    images = torch.rand(3, 3, 5, 7)
    changed, share = kind(images, 1.0)
    assert share == 1
    assert torch.equal(changed, images)


def test_same_seed_gives_the_same_mixture():
    """Mixtures depend on torch's random numbers only."""
    mixing = Mixing(4)
    results = []
    for _ in range(2):
        torch.manual_seed(1)
        results.append([mixing(batch(), LABELS) for _ in range(5)])
    assert all(torch.equal(a, b) and torch.equal(x, y) for (a, x), (b, y) in zip(*results, strict=True))


def test_what_is_given_is_not_changed():
    """Mixing leaves the batch that it was given as it is, and normalised values in their range."""
    given = batch((8, 8)).float() / 50 - 2
    before = given.clone()
    results = [Mixing(4)(given, LABELS)[0] for _ in range(10)]
    assert torch.equal(given, before)
    assert min(one.min() for one in results) == -2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("alphas", [(0.8, 0.0), (0.0, 1.0)])
def test_precision_stays(dtype, alphas):
    """Images of a model in half precision stay so, for it takes no others; shares are those of the loss, in float32."""
    images, shares = Mixing(4, *alphas)(torch.rand(3, 3, 8, 8, dtype=dtype), LABELS)
    assert (images.dtype, shares.dtype) == (dtype, torch.float32)


@pytest.mark.parametrize("size", SIZES)
def test_batch_of_one(size):
    """One alone is mixed with itself."""
    images, shares = Mixing(4)(batch(size)[1:2], LABELS[:1])
    assert torch.allclose(images, batch(size)[1:2] / 255)
    assert torch.allclose(shares, torch.tensor([[0.0, 0.0, 1.0, 0.0]]))


@pytest.mark.parametrize("alphas", [(0.0, 0.0), (-0.2, 1.0), (0.8, -1.0)])
def test_parameters_out_of_range(alphas):
    """Negative parameters and none at all are refused."""
    with pytest.raises(ValueError, match=r"mixup_alpha .* cutmix_alpha .*one of them above 0, e\.g\. 0\.8 and 1\.0"):
        Mixing(4, *alphas)
