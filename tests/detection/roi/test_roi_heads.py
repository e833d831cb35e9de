import pytest
import torch

from detection.inference.postprocess import Postprocess
from detection.roi.heads import BoxHead, BoxPredictor, MaskHead
from detection.roi.roi_heads import RoIHeads, likeliest
from detection.roi.roi_pool import Pyramid, RoIPool
from detection.roi.roi_stage import RoIStage
from detection.roi.sampling import ProposalSampler

STRIDES = (4, 8)
SIZES = [(32, 32), (24, 40)]
PROPOSALS = [torch.tensor([[1.0, 2, 11, 12], [5, 5, 30, 30]]), torch.tensor([[3.0, 3, 20, 20]])]


def stage(seed, iou_threshold=0.5, with_masks=True, takes_flow=False, **kwargs):
    """A small stage that moves boxes far."""
    torch.manual_seed(seed)
    mask_head = MaskHead(5, 2, dim=6, num_convs=1, takes_flow=takes_flow) if with_masks else None
    predictor = BoxPredictor(8, 2, class_agnostic=True)
    torch.nn.init.normal_(predictor.bbox_pred.weight, std=0.5)
    torch.nn.init.normal_(predictor.cls_score.weight, std=0.5)
    sampler = ProposalSampler(2, iou_threshold, samples=8, positive_fraction=1.0)
    return RoIStage(BoxHead(5, 8), predictor, mask_head, sampler, **kwargs)


def pyramids():
    """Random maps of two images of different sizes."""
    torch.manual_seed(0)
    return [Pyramid([i], [torch.randn(1, 5, h // s, w // s) for s in STRIDES]) for i, (h, w) in enumerate(SIZES)]


def targets():
    """One object in the first image, none in the second."""
    boxes = [torch.tensor([[1.0, 2, 11, 12]]), torch.zeros(0, 4)]
    labels = [torch.tensor([1]), torch.zeros(0, dtype=torch.int64)]
    masks = [torch.ones(1, *SIZES[0], dtype=torch.bool), torch.zeros(0, *SIZES[1], dtype=torch.bool)]
    return [{"boxes": b, "labels": k, "masks": m} for b, k, m in zip(boxes, labels, masks, strict=True)]


def heads(*stages, score_threshold=0.0, interleaved=False):
    """RoI heads that suppress nothing."""
    return RoIHeads(RoIPool(STRIDES), stages, Postprocess(score_threshold, nms_threshold=1.0), interleaved)


@torch.no_grad()
def test_each_stage_looks_at_the_boxes_of_the_one_before():
    """Two stages are the second run on the boxes of the first, with the mean of both scores."""
    first, second, maps = stage(1), stage(2), pyramids()
    logits, offsets = first(RoIPool(STRIDES)(maps, PROPOSALS, 7))
    refined = [boxes[:, 0] for boxes in first.decode(offsets, PROPOSALS, SIZES)]  # one box for all classes
    second_logits, second_offsets = second(RoIPool(STRIDES)(maps, refined, 7))
    scores = (logits.softmax(1) + second_logits.softmax(1)) / 2
    found = heads(first, second).detect(maps, PROPOSALS, SIZES)
    boxes = second.decode(second_offsets, refined, SIZES)
    wanted = [Postprocess(0.0, 1.0)(b, s) for b, s in zip(boxes, scores.split([2, 1]), strict=True)]
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours["boxes"], theirs["boxes"])
        torch.testing.assert_close(ours["scores"], theirs["scores"])


@torch.no_grad()
def test_masks_are_the_mean_of_the_stages_that_have_them():
    """Stages without a mask head have no say in the masks, the others an equal one."""
    first, second, third, maps = stage(1), stage(2, with_masks=False), stage(3), pyramids()
    found = heads(first, second, third).detect(maps, PROPOSALS, SIZES)
    labels = torch.cat([d["labels"] for d in found])
    pooled = RoIPool(STRIDES)(maps, [d["boxes"] for d in found], 14)
    wanted = (first.mask_head(pooled, labels).sigmoid() + third.mask_head(pooled, labels).sigmoid()) / 2
    torch.testing.assert_close(torch.cat([d["masks"] for d in found]), wanted)


@torch.no_grad()
def test_mask_features_flow_from_stage_to_stage():
    """The second mask head sees the pooled features plus what a convolution makes of the first one's features."""
    first, second, maps = stage(1), stage(2, takes_flow=True), pyramids()
    pooled = RoIPool(STRIDES)(maps, PROPOSALS, 14)
    flow = second.mask_head.flow(first.mask_head.convs(pooled))
    assert flow.any()
    labels = torch.tensor([0, 1, 1])
    wanted = second.mask_head(pooled + flow, labels)
    *_, found = heads(first, second).mask_logits(maps, PROPOSALS, labels, [first, second])
    torch.testing.assert_close(found, wanted)


def test_interleaved_masks_learn_from_the_refined_boxes():
    """The mask loss is that of the boxes which the box head of the same stage has just refined."""
    seen = []

    class Recorder(RoIHeads):
        def mask_loss(self, i, maps, samples, targets):
            seen.append(torch.cat([s.boxes for s in samples]))
            return super().mask_loss(i, maps, samples, targets)

    [model] = stages = [stage(1)]
    for interleaved in (False, True):
        Recorder(RoIPool(STRIDES), stages, Postprocess(), interleaved).losses(pyramids(), PROPOSALS, SIZES, targets())
    proposals = [torch.cat([p, t["boxes"]]) for p, t in zip(PROPOSALS, targets(), strict=True)]
    logits, offsets = model(RoIPool(STRIDES)(pyramids(), proposals, 7))
    refined = likeliest(model.decode(offsets, proposals, SIZES), logits)
    assert torch.equal(seen[0], torch.cat(proposals))
    wanted = torch.cat([torch.cat([r, t["boxes"]]) for r, t in zip(refined, targets(), strict=True)])
    torch.testing.assert_close(seen[1], wanted)


def test_flow_teaches_the_earlier_mask_heads():
    """With mask flow, the loss of a later stage alone reaches the features of an earlier one; without, it does not."""
    for takes_flow in (True, False):
        first, second = stage(1, loss_weight=0.0), stage(2, takes_flow=takes_flow)
        sum(heads(first, second).losses(pyramids(), PROPOSALS, SIZES, targets()).values()).backward()
        assert first.mask_head.convs[0].weight.grad.any() == takes_flow


def test_likeliest_box_is_that_of_the_best_class_but_background():
    """With a box per class, the next stage gets the box of the likeliest object."""
    class_boxes = torch.arange(16.0).view(2, 2, 4)
    [boxes] = likeliest([class_boxes], torch.tensor([[1.0, 2, 9], [4, 3, 9]]))
    assert torch.equal(boxes, torch.stack([class_boxes[0, 1], class_boxes[1, 0]]))


def test_losses_of_stages_are_weighted_and_summed():
    """A second stage of weight zero leaves the losses of the first."""
    torch.manual_seed(0)
    alone = heads(stage(1)).losses(pyramids(), PROPOSALS, SIZES, targets())
    both = heads(stage(1), stage(2, loss_weight=0.0)).losses(pyramids(), PROPOSALS, SIZES, targets())
    assert set(alone) == {"loss_classifier", "loss_box", "loss_mask"}
    assert {k: v.item() for k, v in both.items()} == pytest.approx({k: v.item() for k, v in alone.items()})


def test_every_stage_learns():
    """Three stages of rising thresholds all have gradients, from an image with and one without objects."""
    model = heads(*(stage(i, iou) for i, iou in enumerate((0.5, 0.6, 0.7))))
    sum(model.losses(pyramids(), PROPOSALS, SIZES, targets()).values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert all(s.box_head.fc1.weight.grad.any() and s.mask_head.convs[0].weight.grad.any() for s in model.stages)


def test_boxes_only_has_no_masks():
    """Without any mask head there is no mask loss and no mask."""
    model = heads(stage(1, with_masks=False))
    assert not model.has_masks
    assert set(model.losses(pyramids(), PROPOSALS, SIZES, targets())) == {"loss_classifier", "loss_box"}
    assert set(model.detect(pyramids(), PROPOSALS, SIZES)[0]) == {"boxes", "scores", "labels"}


def test_image_without_detections_has_empty_ones():
    """Where no score is high enough, boxes and masks are empty, of the right shape."""
    found = heads(stage(1), score_threshold=1.0).detect(pyramids(), PROPOSALS, SIZES)
    assert [tuple(d["masks"].shape) for d in found] == [(0, 28, 28)] * 2
    assert [tuple(d["boxes"].shape) for d in found] == [(0, 4)] * 2
