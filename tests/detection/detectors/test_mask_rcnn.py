import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn
from torchvision.models import detection as torchvision_detection
from torchvision.models.detection import faster_rcnn, mask_rcnn, roi_heads

from detection.detectors.mask_rcnn import MaskRCNN
from detection.detectors.rcnn import RCNN
from detection.detectors.rpn import RPNConfig
from detection.roi.roi_pool import RoIPool
from detection.roi.roi_stage import RoIConfig, crop_masks
from swinv2 import BackboneConfig

CLASSES, SIZE = 3, (96, 160)
BACKBONE = BackboneConfig("swinv2_tiny_window8_256", window_size=4, embed_dim=8, depths=[1] * 4, num_heads=[1] * 4)
SMALL = {
    "fpn_channels": 16,
    "rpn": RPNConfig((8, 16, 32, 64, 128), (100, 100), 100),
    "roi": RoIConfig(box_head_dim=32, mask_head_dim=8, mask_head_convs=2, samples=64),
}


class Features(nn.Module):
    """Backbone and pyramid of ours as a torchvision backbone."""

    def __init__(self, model):
        super().__init__()
        self.backbone, self.fpn, self.out_channels = model.backbone, model.fpn, model.fpn.channels

    def forward(self, images):
        names = ("0", "1", "2", "3", "pool")
        return dict(zip(names, self.fpn(self.backbone(images)), strict=True))


def ours():
    """Mask R-CNN whose weights are so large that it finds much, pooling as torchvision's does."""
    torch.manual_seed(0)
    model = MaskRCNN(BACKBONE, CLASSES, **SMALL)
    stage = model.roi_heads.stages[0]
    predictors = (stage.box_predictor.cls_score, stage.box_predictor.bbox_pred, stage.mask_head.predictor)
    for layer in (*predictors, model.rpn.head.cls_logits, model.rpn.head.bbox_pred):
        nn.init.normal_(layer.weight, std=0.3)
        nn.init.normal_(layer.bias, std=0.3)
    model.roi_heads.pool = RoIPool(model.backbone.strides, sampling_ratio=2, aligned=False)
    return model


def background_first(x, classes):
    """Rows of classes and background last to background first; without background, its rows are zeros."""
    x = x.unflatten(0, (classes, -1))
    background = x[CLASSES:] if classes > CLASSES else torch.zeros_like(x[:1])
    return torch.cat([background, x[:CLASSES]]).flatten(0, 1)


def copied(theirs, layer, classes):
    """Copies the weights of a predictor, moving background to where torchvision has it."""
    theirs.load_state_dict({key: background_first(x, classes) for key, x in layer.state_dict().items()})


def torchvisions(model):
    """Mask R-CNN of torchvision with the features, anchors and weights of ours."""
    box_head = faster_rcnn.TwoMLPHead(16 * 49, 32)
    mask_head = mask_rcnn.MaskRCNNHeads(16, (8, 8), 1)
    theirs = torchvision_detection.MaskRCNN(
        Features(model),
        rpn_anchor_generator=model.rpn.anchor_generator,
        rpn_pre_nms_top_n_train=100,
        rpn_pre_nms_top_n_test=100,
        rpn_post_nms_top_n_train=100,
        rpn_post_nms_top_n_test=100,
        box_head=box_head,
        box_predictor=faster_rcnn.FastRCNNPredictor(32, CLASSES + 1),
        box_batch_size_per_image=64,
        mask_head=mask_head,
        mask_predictor=mask_rcnn.MaskRCNNPredictor(8, 8, CLASSES + 1),
        min_size=SIZE[0],
        max_size=SIZE[1],
        _skip_resize=True,  # in training, where it would draw a random number
    )
    stage = model.roi_heads.stages[0]
    theirs.rpn.load_state_dict(model.rpn.state_dict())
    box_head.fc6.load_state_dict(stage.box_head.fc1.state_dict())
    box_head.fc7.load_state_dict(stage.box_head.fc2.state_dict())
    for i in range(2):
        mask_head[i][0].load_state_dict(stage.mask_head.convs[2 * i].state_dict())
    copied(theirs.roi_heads.box_predictor.cls_score, stage.box_predictor.cls_score, CLASSES + 1)
    copied(theirs.roi_heads.box_predictor.bbox_pred, stage.box_predictor.bbox_pred, CLASSES)
    theirs.roi_heads.mask_predictor.conv5_mask.load_state_dict(stage.mask_head.deconv.state_dict())
    copied(theirs.roi_heads.mask_predictor.mask_fcn_logits, stage.mask_head.predictor, CLASSES)
    return theirs


def images(count=3):
    """Random pictures of one size."""
    torch.manual_seed(1)
    return [torch.rand(3, *SIZE) for _ in range(count)]


def targets(count=3):
    """One object, two, … of the classes in turn; discs as masks."""
    torch.manual_seed(2)
    found = []
    for i in range(count):
        corner, side = torch.rand(i + 1, 2) * 40, 20 + torch.rand(i + 1, 2) * 50
        boxes = torch.cat([corner, corner + side], dim=1)
        y, x = torch.meshgrid(torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5, indexing="ij")
        centre, radius = (boxes[:, :2] + boxes[:, 2:]) / 2, side / 2
        far = sum(((p - centre[:, a, None, None]) / radius[:, a, None, None]) ** 2 for a, p in enumerate((x, y)))
        found.append({"boxes": boxes, "labels": torch.arange(i + 1) % CLASSES, "masks": far <= 1, "image_id": i})
    return found


@torch.no_grad()
def test_detections_equal_torchvisions_mask_rcnn():
    """With copied weights boxes, scores, labels and pasted masks of several images are torchvision's."""
    model = ours().eval()
    for found, wanted in zip(model(images()), torchvisions(model).eval()(images()), strict=True):
        assert len(set(found["labels"].tolist())) > 1
        assert len(found["labels"]) > 20
        assert torch.equal(found["labels"] + 1, wanted["labels"])
        torch.testing.assert_close(found["boxes"], wanted["boxes"], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(found["scores"], wanted["scores"], atol=1e-5, rtol=1e-5)
        pasted = roi_heads.paste_masks_in_image(found["masks"][:, None], found["boxes"], SIZE)
        torch.testing.assert_close(pasted, wanted["masks"], atol=1e-4, rtol=1e-4)


def test_losses_and_gradients_equal_torchvisions_mask_rcnn(monkeypatch):
    """With the same random samples, all five losses and what flows back to the backbone are torchvision's.

    Two things differ on purpose and are set equal here: mask targets are cut out aligned and binary, and offsets have
    an L1 loss, as in detectron2.
    """
    cropped = lambda masks, boxes, objects, size: crop_masks(masks, objects, boxes, size)  # noqa: E731
    monkeypatch.setattr(roi_heads, "project_masks_on_boxes", cropped)
    model = ours()
    model.roi_heads.stages[0].smooth_l1_beta = 1 / 9
    theirs = torchvisions(model)
    torch.manual_seed(3)
    found = model(images(), targets())
    sum(found.values()).backward()
    gradients = [p.grad.clone() for p in model.backbone.parameters()]
    model.zero_grad()
    torch.manual_seed(3)
    wanted = theirs(images(), [t | {"labels": t["labels"] + 1} for t in targets()])
    sum(wanted.values()).backward()
    names = {"loss_rpn_box": "loss_rpn_box_reg", "loss_box": "loss_box_reg"}
    for name, loss in found.items():
        torch.testing.assert_close(loss, wanted[names.get(name, name)], atol=1e-5, rtol=1e-5)
    for ours_grad, parameter in zip(gradients, model.backbone.parameters(), strict=True):
        torch.testing.assert_close(ours_grad, parameter.grad, atol=1e-4, rtol=1e-3)


def test_standard_settings_are_those_of_r50_fpn():
    """Without further arguments, heads have the widths of torchvision's and detectron2's Mask R-CNN."""
    with torch.device("meta"):
        theirs = torchvision_detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=81)
    model = MaskRCNN(BACKBONE, 80)
    box = 4 * 1025  # torchvision also learns a box and
    mask = 257  # a mask of background
    counts = [
        sum(p.numel() for p in part.parameters()) for part in (model.rpn, model.roi_heads, theirs.rpn, theirs.roi_heads)
    ]
    assert counts[0] == counts[2]
    assert counts[1] == counts[3] - box - mask


def test_any_image_size_down_to_one_patch():
    """Images of every size run, those of one patch too."""
    model = MaskRCNN(BACKBONE, CLASSES, **SMALL)
    pictures = [torch.zeros(3, *size, dtype=torch.uint8) for size in ((4, 4), (33, 95), (100, 30))]
    for found, picture in zip(model.eval()(pictures), pictures, strict=True):
        assert (found["boxes"] <= torch.tensor([picture.shape[2], picture.shape[1]] * 2)).all()


def test_anchor_sizes_must_fit_the_backbone():
    """Three anchor sizes for the five levels of four maps are an error."""
    with pytest.raises(ValueError, match=r"anchor_sizes needs one size per pyramid level, got \[8, 16, 32\]"):
        MaskRCNN(BACKBONE, CLASSES, rpn=RPNConfig((8, 16, 32)))


def test_there_must_be_a_class():
    """A detector of nothing is an error."""
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        MaskRCNN(BACKBONE, 0)


def test_recipe_builds_the_model():
    """What a YAML recipe says reaches the constructors, backbone included."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=RCNN)
    backbone = {"name": "swinv2_tiny_window8_256", "embed_dim": 8, "depths": [1] * 4, "num_heads": [1] * 4}
    settings = {"backbone": backbone, "num_classes": 5, "rpn": {"candidates": [9, 8]}, "roi": {"samples": 7}}
    recipe = {"model": {"class_path": "detection.detectors.mask_rcnn.MaskRCNN", "init_args": settings}}
    model = parser.instantiate(parser.parse_object(recipe)).model
    assert isinstance(model, MaskRCNN)
    assert model.num_classes == 5
    assert model.backbone.channels == [8, 16, 32, 64]
