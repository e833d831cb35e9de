"""Names of weights here and in detectron2; that both compute the same is tested beside detectron2 itself."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from detection.detectors.cascade import CascadeMaskRCNN
from detection.detectors.htc import HybridTaskCascade
from detection.detectors.mask_rcnn import MaskRCNN
from detection.detectors.rpn import RPNConfig
from detection.detectron2_weights import convert, from_detectron2, to_detectron2
from detection.roi.roi_stage import RoIConfig
from swinv2 import BackboneConfig, cli
from swinv2.classifier import ImageClassifier

SMALL = {"embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1]}


def backbone(**options):
    """A backbone of one block a stage."""
    return BackboneConfig("swinv2_tiny_window8_256", **SMALL, **options)


def roi(**options):
    """Small heads."""
    return RoIConfig(box_head_dim=32, mask_head_dim=16, mask_head_convs=2, **options)


@pytest.fixture(scope="module")
def mask_rcnn():
    """A small Mask R-CNN."""
    return MaskRCNN(backbone(), 3, 32, roi=roi())


@pytest.mark.parametrize("head", [{}, {"box_head": "4conv1fc"}, {"box_head": "4conv1fc", "box_head_norm": "batch"}])
@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("mask_heads", [0, 1, 2, 3])
def test_there_and_back(head, masks, mask_heads):
    """Every detector keeps every tensor under its name; 0 mask heads stand for the one-stage detector."""
    parts = backbone(), 3, 32
    settings = roi(masks=masks, **head)
    model = (
        CascadeMaskRCNN(*parts, roi=settings, mask_heads=mask_heads) if mask_heads else MaskRCNN(*parts, roi=settings)
    )
    state = model.state_dict()
    back = from_detectron2(to_detectron2(state))
    assert back.keys() == state.keys()
    assert all(back[key] is state[key] for key in state)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("backbone.layers.0.blocks.0.attn.qkv.weight", "backbone.bottom_up.swin.layers.0.blocks.0.attn.qkv.weight"),
        ("fpn.inner_blocks.0.0.weight", "backbone.fpn_lateral2.weight"),
        ("fpn.layer_blocks.3.0.bias", "backbone.fpn_output5.bias"),
        ("rpn.head.conv.0.0.weight", "proposal_generator.rpn_head.conv.weight"),
        ("rpn.head.cls_logits.bias", "proposal_generator.rpn_head.objectness_logits.bias"),
        ("rpn.head.bbox_pred.bias", "proposal_generator.rpn_head.anchor_deltas.bias"),
        ("roi_heads.stages.0.box_head.fc1.weight", "roi_heads.box_head.fc1.weight"),
        ("roi_heads.stages.0.box_predictor.cls_score.weight", "roi_heads.box_predictor.cls_score.weight"),
        ("roi_heads.stages.0.mask_head.convs.2.weight", "roi_heads.mask_head.mask_fcn2.weight"),
        ("roi_heads.stages.0.mask_head.predictor.bias", "roi_heads.mask_head.predictor.bias"),
    ],
)
def test_names_of_mask_rcnn(mask_rcnn, ours, theirs):
    """One of each part."""
    state = mask_rcnn.state_dict()
    assert to_detectron2(state)[theirs] is state[ours]


def test_names_of_a_cascade():
    """Stages are numbered after the part, convolutions from one; norms lie inside them."""
    settings = roi(box_head="4conv1fc", box_head_norm="group")
    state = CascadeMaskRCNN(backbone(), 3, 32, roi=settings).state_dict()
    written = to_detectron2(state)
    pairs = {
        "roi_heads.stages.1.box_head.convs.3.weight": "roi_heads.box_head.1.conv2.weight",
        "roi_heads.stages.1.box_head.convs.4.weight": "roi_heads.box_head.1.conv2.norm.weight",
        "roi_heads.stages.2.box_head.fc.bias": "roi_heads.box_head.2.fc1.bias",
        "roi_heads.stages.2.mask_head.deconv.bias": "roi_heads.mask_head.2.deconv.bias",
    }
    assert all(written[theirs] is state[ours] for ours, theirs in pairs.items())


def test_convolutions_without_norm():
    """Every second layer is a convolution there, not every third."""
    written = to_detectron2(MaskRCNN(backbone(), 3, 32, roi=roi(box_head="4conv1fc")).state_dict())
    assert {f"roi_heads.box_head.conv{i}.weight" for i in (1, 2, 3, 4)} <= written.keys()
    assert not any(".norm." in key for key in written if key.startswith("roi_heads"))


def test_coarser_levels_only():
    """A pyramid that starts at stride 8 starts at level 3."""
    rpn = RPNConfig(anchor_sizes=(32, 64, 128, 256))
    model = MaskRCNN(backbone(out_indices=(1, 2, 3)), 3, 32, rpn=rpn, roi=roi())
    state = model.state_dict()
    written = to_detectron2(state)
    assert "backbone.fpn_lateral3.weight" in written and "backbone.fpn_lateral2.weight" not in written
    assert from_detectron2(written).keys() == state.keys()


def test_task_is_understood(mask_rcnn):
    """What Lightning calls `model.` is the detector."""
    state = mask_rcnn.state_dict()
    assert to_detectron2({f"model.{key}": value for key, value in state.items()}).keys() == to_detectron2(state).keys()


@pytest.mark.parametrize("prefix", ["net.", "module.model.", "ema_model."])
def test_detectors_behind_any_prefix_are_understood(mask_rcnn, prefix):
    """Here and there, a detector may be a part of something else."""
    state = mask_rcnn.state_dict()
    there = to_detectron2(state)
    assert to_detectron2({f"{prefix}{key}": value for key, value in state.items()}).keys() == there.keys()
    assert from_detectron2({f"{prefix}{key}": value for key, value in there.items()}).keys() == state.keys()


@pytest.mark.parametrize("key", ["backbone.norm0.bias", "roi_heads.stages.0.box_predictor.cls_score.bias"])
def test_numbers_that_are_none_are_refused(mask_rcnn, tmp_path, key):
    """The error names the file and the tensor."""
    state = mask_rcnn.state_dict()
    torch.save(state | {key: state[key] * torch.nan}, tmp_path / "best.ckpt")
    with pytest.raises(ValueError, match=rf"best.ckpt: {key} has \d+ of \d+ values that are not finite"):
        convert(tmp_path / "best.ckpt", tmp_path / "there.pth", "detectron2")


def test_a_backbone_with_holes_is_refused(mask_rcnn):
    """It would train from random numbers there."""
    state = {k.removeprefix("backbone."): v for k, v in mask_rcnn.state_dict().items() if k.startswith("backbone.")}
    del state["layers.1.blocks.0.attn.qkv.weight"]
    with pytest.raises(ValueError, match=r"1 tensors of the backbone are not there, first layers.1.blocks.0.attn.qkv"):
        to_detectron2(state)


def test_windows_that_nothing_tells_are_warned_of(caplog):
    """They are then those of the model that takes the weights."""
    state = {k: v for k, v in backbone(out_indices=(3,)).build().state_dict().items() if k != "_extra_state"}
    to_detectron2(state, "best.pth")
    assert "Nothing says in which windows these weights were trained" in caplog.text


def test_classifier_gives_its_backbone():
    """The weights take their places under the pyramid, with the last norm and the windows of the training."""
    state = ImageClassifier(backbone(out_indices=(3,)).build(), 5).state_dict()
    written = to_detectron2(state)
    inside = "backbone.bottom_up.swin."
    assert written[f"{inside}norm3.weight"] is state["backbone.norm3.weight"]
    assert written[f"{inside}_extra_state"].tolist() == [[8, 8]] * 4
    assert all(key.startswith(inside) for key in written) and f"{inside}head.weight" not in written


def test_official_backbone():
    """Weights of the release have no windows with them; the name of the file tells."""
    state = {k: v for k, v in backbone(out_indices=(3,)).build().state_dict().items() if k != "_extra_state"}
    official = {key.replace("norm3", "norm"): value for key, value in state.items()}
    written = to_detectron2(official, "swinv2_tiny_patch4_window16_256.pth")
    assert written["backbone.bottom_up.swin._extra_state"].tolist() == [[16, 16]] * 3 + [[8, 8]]
    assert "backbone.bottom_up.swin._extra_state" not in to_detectron2(official)


@pytest.mark.parametrize("options", [{}, {"roi": roi(masks=False), "semantic_classes": 4}])
def test_hybrid_task_cascade_is_refused(options):
    """What detectron2 cannot compute is named, not left out."""
    model = HybridTaskCascade(backbone(), 3, 32, **{"roi": roi()} | options)
    with pytest.raises(ValueError, match=r"no place for .*(flow|semantic)"):
        to_detectron2(model.state_dict())


def test_another_backbone_is_refused():
    """A ResNet's detector is not ours."""
    with pytest.raises(ValueError, match=r"no SwinV2 under detectron2's feature pyramid.*build_swinv2_fpn_backbone"):
        from_detectron2(
            {"backbone.bottom_up.res2.0.conv1.weight": torch.zeros(1), "backbone.fpn_lateral2.weight": torch.zeros(1)}
        )


def test_another_head_is_refused(mask_rcnn):
    """A head for keypoints has no place here."""
    state = to_detectron2(mask_rcnn.state_dict()) | {"roi_heads.keypoint_head.score_lowres.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"have no place for roi_heads\.keypoint_head"):
        from_detectron2(state)


def test_old_files_carry_what_is_computed(mask_rcnn):
    """Anchors and pixel statistics, which detectron2 once saved, are left out."""
    old = {"pixel_mean": torch.zeros(3), "proposal_generator.anchor_generator.cell_anchors.0": torch.zeros(3, 4)}
    assert from_detectron2(to_detectron2(mask_rcnn.state_dict()) | old).keys() == mask_rcnn.state_dict().keys()


def test_command_writes_for_detectron2_and_back(mask_rcnn, tmp_path):
    """A task's checkpoint to detectron2's file and back to weights that load strictly."""
    wrapped = nn.ModuleDict({"model": mask_rcnn}).state_dict()
    torch.save({"state_dict": wrapped, "class_names": ["a", "b", "c"]}, tmp_path / "best.ckpt")
    there, back = tmp_path / "new/there.pth", tmp_path / "back.safetensors"
    assert cli.main(["convert", str(tmp_path / "best.ckpt"), str(there), "--to", "detectron2"]) == 0
    content = torch.load(there, weights_only=True)
    assert (content["__author__"], content["matching_heuristics"]) == ("swinv2", False)
    assert cli.main(["convert", str(there), str(back), "--to", "ours"]) == 0
    loaded = load_file(back)
    assert mask_rcnn.load_state_dict(loaded).missing_keys == []
    assert all(torch.equal(value, loaded[key]) for key, value in mask_rcnn.state_dict().items())


def test_file_has_the_suffix_that_detectron2_loads(mask_rcnn, tmp_path):
    """It would take a .pkl for a pickle, and a .safetensors for nothing."""
    with pytest.raises(ValueError, match=r"ending in \.pth, got model\.pkl"):
        convert(mask_rcnn.state_dict(), tmp_path / "model.pkl", "detectron2")
