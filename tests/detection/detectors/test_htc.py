import pytest
import torch

from detection import HybridTaskCascade, RoIConfig, RPNConfig
from swinv2 import BackboneConfig

BACKBONE = BackboneConfig("swinv2_tiny_window8_256", window_size=4, embed_dim=8, depths=[1] * 4, num_heads=[1] * 4)
RPN = RPNConfig((8, 16, 32, 64, 128), (50, 50), 30)
ROI = RoIConfig(box_head_dim=16, mask_head_dim=8, mask_head_convs=1, samples=32)


def htc(roi=ROI, **options):
    """A small hybrid task cascade for three classes."""
    torch.manual_seed(0)
    return HybridTaskCascade(BACKBONE, 3, 16, RPN, roi, **options)


def test_htc_learns_with_all_it_has(pictures):
    """Semantic branch, mask flow and global attention: every parameter has a gradient."""
    model = htc(semantic_classes=5, global_attention_heads=4)
    for norm in (model.fpn.attention.norm1, model.fpn.attention.norm2):
        torch.nn.init.ones_(norm.weight)  # a new one is closed, and only its norms learn at first
    losses = model(*pictures)
    assert set(losses) == {
        *("loss_objectness", "loss_rpn_box", "loss_classifier", "loss_box", "loss_mask", "loss_semantic")
    }
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_htc_works_without_semantic_maps(pictures):
    """Without semantic classes there is neither branch nor loss, and the targets need no map."""
    images, targets = pictures
    model = htc()
    assert model.semantic is None
    assert "loss_semantic" not in model(images, [{k: t[k] for k in t if k != "semantic"} for t in targets])


def test_semantic_features_reach_boxes_and_masks(pictures):
    """What the semantic branch says changes scores and masks."""
    images, _ = pictures
    model = htc(semantic_classes=5).eval()
    model.roi_heads.postprocess = type(model.roi_heads.postprocess)(0.0, 1.0, 50)
    for stage in model.roi_heads.stages:
        torch.nn.init.normal_(stage.mask_head.predictor.weight)
        torch.nn.init.normal_(stage.box_predictor.cls_score.weight)
    before = model(images)
    torch.nn.init.constant_(model.semantic.embedding.bias, 3.0)
    after = model(images)
    assert all((a["scores"] - b["scores"]).abs().max() > 1e-3 for a, b in zip(after, before, strict=True))
    assert all((a["masks"] - b["masks"]).abs().max() > 1e-3 for a, b in zip(after, before, strict=True))


def test_mask_information_flows_from_the_second_stage_on():
    """The first mask head has nothing to take up; boxes are refined before masks are learnt."""
    model = htc()
    assert [stage.mask_head.flow is not None for stage in model.roi_heads.stages] == [False, True, True]
    assert model.roi_heads.interleaved


def test_missing_semantic_maps_are_an_error(pictures):
    """A semantic branch without maps says both ways out."""
    images, targets = pictures
    without = [{k: t[k] for k in t if k != "semantic"} for t in targets]
    with pytest.raises(ValueError, match=r"no semantic in its target.*data.semantic_maps.*semantic_classes to 0"):
        htc(semantic_classes=5)(images, without)


def test_semantic_class_beyond_the_branch_is_an_error(pictures):
    """A map with class 4 for a branch of four classes names both."""
    with pytest.raises(ValueError, match=r"has class 4 in its semantic map; the model has semantic_classes=4"):
        htc(semantic_classes=4)(*pictures)


def test_semantic_map_of_another_size_is_an_error(pictures):
    """A map must have the size of its image."""
    images, targets = pictures
    targets[0] = targets[0] | {"semantic": torch.zeros(9, 9, dtype=torch.uint8)}
    with pytest.raises(ValueError, match=r"semantic map of \(9, 9\), its size needs \(64, 96\)"):
        htc(semantic_classes=5)(images, targets)


def test_objects365_stage_has_no_masks(pictures):
    """The same cascade without mask heads detects boxes."""
    images, targets = pictures
    model = htc(RoIConfig(box_head_dim=16, masks=False, samples=32), global_attention_heads=8)
    assert "loss_mask" not in model(images, [{k: t[k] for k in ("boxes", "labels")} for t in targets])
    assert set(model.eval()(images)[0]) == {"boxes", "scores", "labels"}


def test_a_new_global_attention_changes_nothing(pictures):
    """Added to a trained detector, it leaves the detections as they are until it has learnt."""
    images, _ = pictures
    plain, with_attention = htc().eval(), htc(global_attention_heads=8).eval()
    with_attention.load_state_dict(plain.state_dict(), strict=False)
    for one, other in zip(plain(images), with_attention(images), strict=True):
        torch.testing.assert_close(other, one)
