import pytest
import torch

from detection.roi.heads import BoxHead, BoxPredictor, MaskHead


def test_box_predictor_gives_a_box_per_class_and_background_last():
    """Eight classes have nine scores and eight boxes."""
    logits, offsets = BoxPredictor(16, 8)(torch.randn(5, 16))
    assert logits.shape == (5, 9)
    assert offsets.shape == (5, 8, 4)


def test_class_agnostic_predictor_gives_every_class_the_same_box():
    """A shared box is that of each class."""
    predictor = BoxPredictor(16, 8, class_agnostic=True)
    x = torch.randn(5, 16)
    offsets = predictor(x)[1]
    assert torch.equal(offsets, predictor.bbox_pred(x)[:, None].expand(5, 8, 4))


def test_predictors_start_near_nothing():
    """At first all classes are as likely and no box moves, so that the losses start at a known place."""
    box, mask = BoxPredictor(256, 80), MaskHead(8, 80, dim=64)
    spread = [layer.weight.std().item() for layer in (box.cls_score, box.bbox_pred, mask.predictor)]
    assert spread == pytest.approx([0.01, 0.001, 0.001], rel=0.05)


def test_mask_head_doubles_the_resolution():
    """Fourteen bins become masks of 28 x 28."""
    head, labels = MaskHead(8, 3, dim=6, num_convs=2), torch.tensor([0, 2, 1, 1, 2])
    assert head(torch.randn(5, 8, 14, 14), labels).shape == (5, 28, 28)


def test_mask_is_that_of_the_class():
    """What is computed for one class is the same as computing all classes and taking that one."""
    head, x, labels = MaskHead(8, 3, dim=6, num_convs=1), torch.randn(4, 8, 14, 14), torch.tensor([2, 0, 1, 2])
    torch.nn.init.normal_(head.predictor.bias)
    everything = head.predictor(torch.relu(head.deconv(head.features(x))))  # (4, 3, 28, 28)
    torch.testing.assert_close(head(x, labels), everything[torch.arange(4), labels])


def test_no_boxes_give_gradients_of_zero():
    """An image without objects leaves every parameter with a gradient, as distributed training needs."""
    box, predictor, mask = BoxHead(8, 16), BoxPredictor(16, 3), MaskHead(8, 3, dim=6)
    logits, offsets = predictor(box(torch.zeros(0, 8, 7, 7)))
    (logits.sum() + offsets.sum() + mask(torch.zeros(0, 8, 14, 14), torch.zeros(0, dtype=torch.int64)).sum()).backward()
    grads = [p.grad for head in (box, predictor, mask) for p in head.parameters()]
    assert all(grad is not None and not grad.any() for grad in grads)


def test_outputs_are_float32_under_autocast():
    """Losses and boxes are computed from float32 whatever the layers computed in."""
    box, predictor, mask = BoxHead(8, 16), BoxPredictor(16, 3), MaskHead(8, 3, dim=6)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = [*predictor(box(torch.randn(2, 8, 7, 7))), mask(torch.randn(2, 8, 14, 14), torch.tensor([0, 1]))]
    assert {x.dtype for x in outputs} == {torch.float32}
