import pytest
import torch
from torchvision.ops import generalized_box_iou

from detection.roi.heads import BoxHead, BoxPredictor, MaskHead
from detection.roi.roi_stage import RoIConfig, RoIStage, crop_masks, mask_loss
from detection.roi.sampling import ProposalSampler, Samples

NO_SAMPLES = Samples(
    torch.zeros(0, 4), *[torch.zeros(0, dtype=torch.int64)] * 2, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
)


def stage(**kwargs):
    """A small stage for two classes."""
    torch.manual_seed(0)
    mask_head = MaskHead(5, 2, dim=6, num_convs=1)
    return RoIStage(BoxHead(5, 8), BoxPredictor(8, 2), mask_head, ProposalSampler(2), **kwargs)


def two_samples():
    """One object and one background box."""
    boxes = torch.tensor([[2.0, 4, 12, 14], [20, 20, 30, 30]])
    object_boxes = torch.tensor([[3.0, 4, 13, 12], [3, 4, 13, 12]])
    return Samples(boxes, torch.tensor([1, 2]), torch.tensor([0, 0]), object_boxes, torch.tensor([0]))


def test_decoding_undoes_encoding():
    """The offsets that the loss asks for lead to the object's box, whatever the weights."""
    cascade = stage(box_weights=(20.0, 20.0, 10.0, 10.0))
    samples = two_samples()
    wanted = cascade.box_coder.encode_single(samples.object_boxes, samples.boxes)
    [decoded] = cascade.decode(wanted[:, None].expand(-1, 2, -1), [samples.boxes], [(32, 32)])
    torch.testing.assert_close(decoded, samples.object_boxes[:, None].expand(-1, 2, -1))


def test_decoded_boxes_end_at_the_border_of_their_own_image():
    """Each image cuts its boxes at its own size."""
    boxes = torch.tensor([[0.0, 0, 100, 100]])
    small, large = stage().decode(torch.zeros(2, 2, 4), [boxes, boxes], [(30, 40), (50, 20)])
    assert small[0, 0].tolist() == [0, 0, 40, 30]
    assert large[0, 0].tolist() == [0, 0, 20, 50]


def test_perfect_answers_cost_nothing():
    """Right classes and the true offsets give losses of zero; the background's offsets do not count."""
    model, samples = stage(), two_samples()
    logits = torch.tensor([[0.0, 100, 0], [0, 0, 100]])
    offsets = torch.full((2, 2, 4), 7.0)
    offsets[0, 1] = model.box_coder.encode_single(samples.object_boxes, samples.boxes)[0]
    losses = model.box_losses(logits, offsets, [samples])
    assert losses == {"loss_classifier": pytest.approx(0), "loss_box": pytest.approx(0)}


def test_losses_are_per_sample_of_the_batch():
    """Cross-entropy and box loss are summed over all images and divided by the number of samples."""
    model, samples = stage(), two_samples()
    offsets = torch.zeros(4, 2, 4)
    offsets[0, 1] = model.box_coder.encode_single(samples.object_boxes, samples.boxes)[0]
    offsets[2, 1] = offsets[0, 1] + 1
    losses = model.box_losses(torch.zeros(4, 3), offsets, [samples, samples])
    assert losses["loss_classifier"] == pytest.approx(torch.tensor(3.0).log().item())
    assert losses["loss_box"] == pytest.approx(4 * 1 / 4)
    smooth = stage(smooth_l1_beta=1 / 9).box_losses(torch.zeros(4, 3), offsets, [samples, samples])
    assert smooth["loss_box"] == pytest.approx(4 * (1 - 1 / 18) / 4)


def test_no_samples_give_losses_and_gradients_of_zero():
    """Should an image have neither proposals nor objects, every parameter still has a gradient."""
    model = stage()
    losses = model.box_losses(*model(torch.zeros(0, 5, 7, 7)), [NO_SAMPLES])
    logits = model.mask_head(torch.zeros(0, 5, 14, 14), NO_SAMPLES.labels)
    losses["loss_mask"] = mask_loss(logits, [NO_SAMPLES], [torch.zeros(0, 32, 32, dtype=torch.bool)])
    assert [loss.item() for loss in losses.values()] == [0, 0, 0]
    sum(losses.values()).backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_mask_loss_is_of_the_objects_class_alone():
    """The masks of other classes get no gradient."""
    model, samples = stage(), two_samples()
    objects = samples.only_objects()
    assert objects.labels.tolist() == [1]
    mask_loss(
        model.mask_head(torch.randn(1, 5, 14, 14), objects.labels), [objects], [torch.ones(1, 32, 32, dtype=torch.bool)]
    ).backward()
    assert model.mask_head.predictor.weight.grad[1].any()
    assert not model.mask_head.predictor.weight.grad[0].any()


def test_giou_loss_compares_boxes():
    """It is ten times the generalised IoU loss of the decoded boxes, per sample, and nothing for the true boxes."""
    model, samples = stage(box_loss="giou"), two_samples()
    logits, offsets = torch.zeros(2, 3), torch.zeros(2, 2, 4)
    giou = 1 - generalized_box_iou(samples.boxes[:1], samples.object_boxes[:1]).item()
    assert model.box_losses(logits, offsets, [samples])["loss_box"].item() == pytest.approx(10 * giou / 2, rel=1e-5)
    offsets[0, 1] = model.box_coder.encode_single(samples.object_boxes, samples.boxes)[0]
    assert model.box_losses(logits, offsets, [samples])["loss_box"].item() == pytest.approx(0, abs=1e-5)


def test_norm_needs_convolutions():
    """A norm in a box head of fully connected layers is an error that names the other head."""
    with pytest.raises(ValueError, match="take 4conv1fc"):
        RoIConfig(box_head_norm="batch")


def test_crop_takes_the_pixels_of_the_box():
    """A box on whole pixels, as large as the crop, gives back the very pixels of its object."""
    torch.manual_seed(0)
    masks = torch.rand(2, 40, 50) > 0.5
    crops = crop_masks(masks, torch.tensor([1, 0]), torch.tensor([[3.0, 5, 31, 33], [20, 10, 48, 38]]), 28)
    assert torch.equal(crops, torch.stack([masks[1, 5:33, 3:31], masks[0, 10:38, 20:48]]).float())


def test_crop_beyond_the_image_is_empty_there():
    """What lies outside the image belongs to no object."""
    [crop] = crop_masks(
        torch.ones(1, 20, 20, dtype=torch.bool), torch.tensor([0]), torch.tensor([[-28.0, 0, 28, 28]]), 28
    )
    assert not crop[:, :13].any()
    assert crop[:9, 15:23].all()


def test_crops_of_no_objects_are_empty():
    """An image without objects asks for no masks."""
    crops = crop_masks(torch.zeros(0, 20, 20, dtype=torch.bool), NO_SAMPLES.objects, NO_SAMPLES.boxes, 28)
    assert crops.shape == (0, 28, 28)
