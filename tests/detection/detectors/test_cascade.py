import pytest
import torch

from detection import CascadeMaskRCNN, RoIConfig, RPNConfig
from detection.detectors.cascade import cascade_stages
from detection.roi.heads import BoxHead, ConvBoxHead
from swinv2 import BackboneConfig

BACKBONE = BackboneConfig("swinv2_tiny_window8_256", window_size=4, embed_dim=8, depths=[1] * 4, num_heads=[1] * 4)
RPN = RPNConfig((8, 16, 32, 64, 128), (50, 50), 30)
ROI = RoIConfig(box_head_dim=16, mask_head_dim=8, mask_head_convs=1, samples=32)


def cascade(roi=ROI, **options):
    """A small cascade for three classes."""
    torch.manual_seed(0)
    return CascadeMaskRCNN(BACKBONE, 3, 16, RPN, roi, **options)


def test_stages_rise():
    """Overlaps 0.5, 0.6, 0.7, weights 1, 0.5, 0.25, offsets ever heavier, one box for all classes."""
    stages = cascade_stages(RoIConfig(), 256, 80, (0.5, 0.6, 0.7), (1.0, 0.5, 0.25))
    assert [stage.sampler.iou_threshold for stage in stages] == [0.5, 0.6, 0.7]
    assert [stage.loss_weight for stage in stages] == [1, 0.5, 0.25]
    assert [stage.box_coder.weights for stage in stages] == [(10, 10, 5, 5), (20, 20, 10, 10), (30, 30, 15, 15)]
    assert all(stage.box_predictor.bbox_pred.out_features == 4 for stage in stages)
    assert all(stage.mask_head.flow is None for stage in stages)


def test_detections_of_a_cascade(pictures):
    """Boxes within the image, masks within the boxes, at most as many as asked for."""
    model = cascade().eval()
    model.roi_heads.postprocess = type(model.roi_heads.postprocess)(0.0, 0.5, 20)
    images, _ = pictures
    for found, image in zip(model(images), images, strict=True):
        assert found["boxes"].shape == (20, 4) and found["masks"].shape == (20, 28, 28)
        assert (found["boxes"] <= torch.tensor([image.shape[2], image.shape[1]] * 2)).all()


def test_every_stage_of_a_cascade_learns(pictures):
    """All parameters have a gradient, those of all mask heads too."""
    model = cascade()
    sum(model(*pictures).values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_mask_heads_from_the_first_stage(heads):
    """The first stages have mask heads, the others not."""
    model = cascade(mask_heads=heads)
    assert [stage.mask_head is not None for stage in model.roi_heads.stages] == [i < heads for i in range(3)]


def test_mask_heads_must_fit_the_stages():
    """No mask head at all is said by roi.masks."""
    with pytest.raises(ValueError, match=r"from 1 to the 3 stages, got 0; .* roi.masks to false"):
        cascade(mask_heads=0)


def test_cascade_of_boxes_only(pictures):
    """Without masks the targets need none."""
    images, targets = pictures
    model = cascade(RoIConfig(box_head_dim=16, masks=False, samples=32))
    losses = model(images, [{k: t[k] for k in ("boxes", "labels")} for t in targets])
    assert "loss_mask" not in losses and not model.has_masks


@pytest.mark.parametrize(
    ("thresholds", "weights"),
    [((0.5, 0.6), (1.0,)), ((), ()), ((0.5, 1.5), (1.0, 1.0))],
    ids=["uneven", "none", "range"],
)
def test_stages_need_a_threshold_and_a_weight_each(thresholds, weights):
    """Numbers that do not fit are an error that shows both and an example."""
    with pytest.raises(ValueError, match=r"one number per stage.*e.g. \[0.5, 0.6, 0.7\]"):
        cascade(iou_thresholds=thresholds, loss_weights=weights)


@pytest.mark.parametrize("norm", [None, "batch", "group"])
def test_box_head_of_convolutions(norm, pictures):
    """4conv1fc with each norm trains, with boxes compared by GIoU."""
    model = CascadeMaskRCNN(
        BACKBONE, 3, 32, RPN, RoIConfig("4conv1fc", 16, norm, "giou", mask_head_dim=8, mask_head_convs=1, samples=32)
    )
    sum(model(*pictures).values()).backward()
    head = model.roi_heads.stages[2].box_head
    assert isinstance(head, ConvBoxHead)
    assert head.convs[0].weight.grad.any() and head.fc.weight.grad.any()
    assert (head.convs[0].bias is None) == (norm is not None)


def test_box_head_of_fully_connected_layers():
    """2fc is the default."""
    assert isinstance(RoIConfig().build_box_head(4), BoxHead)


def test_group_norm_needs_groups():
    """16 channels do not form 32 groups."""
    with pytest.raises(ValueError, match="multiple of 32 channels, got 16"):
        cascade(RoIConfig("4conv1fc", box_head_norm="group"))
