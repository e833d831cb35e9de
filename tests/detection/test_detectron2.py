"""The bridge to detectron2; where that is not installed, all but the tests of its absence are skipped."""

import importlib
import json
import logging
import subprocess
import sys
import warnings
from argparse import Namespace
from pathlib import Path

import cv2
import pytest
import torch
from torch import nn

import swinv2.shapes
from detection.data.annotations import CocoAnnotations
from detection.detectors.cascade import CascadeMaskRCNN
from detection.detectors.mask_rcnn import MaskRCNN
from detection.detectors.rpn import RPNConfig
from detection.detectron2_weights import convert, from_detectron2, to_detectron2
from detection.evaluation.coco_evaluator import CocoEvaluator
from detection.inference.masks import encode_masks
from detection.inference.postprocess import Postprocess
from detection.roi.roi_pool import Pyramid
from detection.roi.roi_stage import RoIConfig
from swinv2 import BackboneConfig
from swinv2.training.parameter_groups import parameter_groups

CONFIGS = Path(__file__).parents[2] / "configs/detectron2"
REASON = "detectron2 is not installed: docs/detectron2.md says how to build it"
SMALL = {"embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}

pytestmark = pytest.mark.filterwarnings(  # what detectron2 says with newer versions of torch and others
    "ignore:torch.meshgrid",
    "ignore::FutureWarning",
    "ignore::DeprecationWarning",
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",  # files that are left open
)


@pytest.fixture(scope="module")
def bridge():
    """`detection.detectron2`; detectron2 scripts functions when it is imported, which torch warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("detectron2", reason=REASON)
        return importlib.import_module("detection.detectron2")


def yacs(bridge, *changes):
    """The recipe of Mask R-CNN with a small model on the CPU."""
    cfg = bridge.get_cfg()
    bridge.add_swinv2_config(cfg)
    cfg.merge_from_file(str(CONFIGS / "mask_rcnn_swinv2_tiny_coco.yml"))
    model = {"DEVICE": "cpu", "FPN.OUT_CHANNELS": 32, "ANCHOR_GENERATOR.SIZES": [[8], [16], [32], [64], [128]]}
    model |= {"SWINV2.WEIGHTS": None, "SWINV2.WINDOW_SIZE": None}
    model |= {f"SWINV2.{key.upper()}": value for key, value in SMALL.items()}
    model |= {"RPN.PRE_NMS_TOPK_TEST": 100, "RPN.POST_NMS_TOPK_TEST": 20, "RPN.POST_NMS_TOPK_TRAIN": 50}
    model |= {"ROI_HEADS.NUM_CLASSES": 3, "ROI_HEADS.BATCH_SIZE_PER_IMAGE": 16}
    model |= {"ROI_BOX_HEAD.FC_DIM": 32, "ROI_MASK_HEAD.CONV_DIM": 16, "ROI_MASK_HEAD.NUM_CONV": 2}
    cfg.merge_from_list([part for key, value in model.items() for part in (f"MODEL.{key}", value)])
    cfg.merge_from_list(list(changes))
    return cfg


def build(bridge, *changes):
    """That model in evaluation."""
    return bridge.SwinV2Trainer.build_model(yacs(bridge, *changes)).eval()


CONVOLUTIONS = ("MODEL.ROI_BOX_HEAD.NUM_CONV", 4, "MODEL.ROI_BOX_HEAD.NUM_FC", 1, "MODEL.ROI_BOX_HEAD.CONV_DIM", 32)
AGNOSTIC = ("MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", True)
CASCADE = (*AGNOSTIC, "MODEL.ROI_HEADS.NAME", "CascadeROIHeads")
MASK_CASCADE = (*AGNOSTIC, "MODEL.ROI_HEADS.NAME", "CascadeMaskROIHeads")


def detector(kind, roi=None, **options):
    """Our detector of the same size, with weights that find something."""
    heads = RoIConfig(box_head_dim=32, mask_head_dim=16, mask_head_convs=2, **(roi or {}))
    rpn = RPNConfig(anchor_sizes=(8, 16, 32, 64, 128), candidates=(100, 100), proposals=20)
    model = kind(BackboneConfig("swinv2_tiny_window8_256", **SMALL), 3, 32, rpn=rpn, roi=heads, **options)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.add_(0.1 * torch.randn_like(parameter) / (1 if parameter.ndim == 1 else 2))
            if name.endswith("cls_score.bias"):
                parameter[-1] -= 1  # less background
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.add_(0.3 * torch.rand_like(buffer))
    return model.eval()


def pictures(*sizes):
    """Random images."""
    return [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]


@torch.no_grad()
def detect_there(model, image):
    """Detections of detectron2's model in the form of ours."""
    found = model.inference([{"image": image}], do_postprocess=False)[0]
    masks = {"masks": found.pred_masks[:, 0]} if found.has("pred_masks") else {}
    return {"boxes": found.pred_boxes.tensor, "scores": found.scores, "labels": found.pred_classes} | masks


def assert_same(ours, theirs):
    """Equal up to the order of detections with equal scores."""
    assert ours.keys() == theirs.keys()
    assert len(ours["scores"]) == len(theirs["scores"]) > 3
    rows = [torch.cat([d["boxes"], d["scores"][:, None], 1e3 * d["labels"][:, None]], 1) for d in (ours, theirs)]
    distance, nearest = torch.cdist(*rows, p=torch.inf).min(dim=1)
    assert nearest.unique().numel() == len(nearest)
    assert distance.max() <= 1e-4
    if "masks" in ours:
        torch.testing.assert_close(ours["masks"], theirs["masks"][nearest], atol=1e-4, rtol=0)


def test_features_are_those_of_the_backbone(bridge):
    """The named maps equal ours bit for bit."""
    backbone = BackboneConfig("swinv2_tiny_window8_256", **SMALL).build().eval()
    x = torch.randn(2, 3, 64, 96)
    found = bridge.SwinV2Backbone(backbone)(x)
    assert list(found) == ["res2", "res3", "res4", "res5"]
    assert all(torch.equal(a, b) for a, b in zip(found.values(), backbone(x), strict=True))


def test_backbone_says_what_it_gives(bridge):
    """Channels and strides by name, and what sizes a pyramid on it needs."""
    backbone = bridge.SwinV2Backbone(BackboneConfig("swinv2_tiny_window8_256", **SMALL).build())
    shapes = {name: (shape.channels, shape.stride) for name, shape in backbone.output_shape().items()}
    assert shapes == {"res2": (16, 4), "res3": (32, 8), "res4": (64, 16), "res5": (128, 32)}
    assert backbone.size_divisibility == 32
    assert backbone.padding_constraints == {"size_divisibility": 32, "square_size": 0}


def test_yacs_backbone_by_name(bridge):
    """Some outputs, six channels as PIXEL_MEAN has, frozen stages."""
    from detectron2.modeling import build_backbone

    cfg = yacs(bridge, "MODEL.BACKBONE.NAME", "build_swinv2_backbone", "MODEL.SWINV2.OUT_FEATURES", ["res3", "res5"])
    cfg.merge_from_list(["MODEL.PIXEL_MEAN", [0.0] * 6, "MODEL.SWINV2.FROZEN_STAGES", 1])
    backbone = build_backbone(cfg)
    assert {name: x.shape[1] for name, x in backbone(torch.randn(1, 6, 64, 64)).items()} == {"res3": 32, "res5": 128}
    frozen = {name for name, parameter in backbone.named_parameters() if not parameter.requires_grad}
    assert frozen and all(name.startswith(("swin.patch_embed", "swin.layers.0")) for name in frozen)


def test_unknown_feature(bridge):
    """The error says which there are."""
    cfg = yacs(bridge, "MODEL.SWINV2.OUT_FEATURES", ["res3", "p5"])
    with pytest.raises(ValueError, match=r"OUT_FEATURES are of res2, res3, res4, res5, got p5"):
        bridge.build_swinv2_backbone(cfg, bridge.ShapeSpec(channels=3))


@pytest.mark.parametrize("name", ["mask_rcnn", "cascade_mask_rcnn"])
def test_both_kinds_of_recipe_build_the_same(bridge, name):
    """The LazyConfig and the yacs configuration name one model."""
    lazy = bridge.LazyConfig.load(str(CONFIGS / f"{name}_swinv2_tiny_coco.py"))
    lazy.model.backbone.bottom_up.backbone.update(weights=None, **SMALL)
    lazy.model.backbone.out_channels = 32
    cfg = bridge.get_cfg()
    bridge.add_swinv2_config(cfg)
    cfg.merge_from_file(str(CONFIGS / f"{name}_swinv2_tiny_coco.yml"))
    small = [part for key, value in SMALL.items() for part in (f"MODEL.SWINV2.{key.upper()}", value)]
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.SWINV2.WEIGHTS", None, "MODEL.FPN.OUT_CHANNELS", 32, *small])
    assert str(bridge.instantiate(lazy.model)) == str(bridge.SwinV2Trainer.build_model(cfg))


@pytest.mark.parametrize("suffix", [".py", ".yml"])
def test_recipes_need_no_model_zoo(suffix):
    """detectron2's model_zoo needs pkg_resources, which newer setuptools lack."""
    assert not [path for path in CONFIGS.glob(f"*{suffix}") if "model_zoo" in path.read_text()]


def test_odd_sizes(bridge):
    """Images of two sizes, neither divisible by 32, are padded and found in."""
    model = build(bridge, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0)
    with torch.no_grad():
        found = model([{"image": image} for image in pictures((203, 301), (160, 333))])
    assert [one["instances"].image_size for one in found] == [(203, 301), (160, 333)]
    assert found[0]["instances"].pred_masks.shape[1:] == (203, 301)


def batch(bridge):
    """Two pictures with a bright square each, as detectron2 gives them to a model."""
    from detectron2.structures import BitMasks, Boxes

    inputs = []
    for start in (8, 24):
        square = torch.zeros(64, 64, dtype=torch.bool)
        square[start : start + 32, start : start + 32] = True
        truth = bridge.Instances((64, 64))
        truth.gt_boxes = Boxes(torch.tensor([[start, start, start + 32.0, start + 32.0]]))
        truth.gt_classes = torch.tensor([1])
        truth.gt_masks = BitMasks(square[None])
        inputs.append({"image": square.float().expand(3, -1, -1) * 200, "instances": truth})
    return inputs


@pytest.mark.parametrize("changes", [(), CASCADE, MASK_CASCADE], ids=["one stage", "cascade", "mask per stage"])
def test_ten_steps_learn(bridge, changes):
    """The loss falls with the optimiser of a yacs configuration."""
    from detectron2.utils.events import EventStorage

    cfg = yacs(bridge, "SOLVER.BASE_LR", 2e-3, "SOLVER.CLIP_GRADIENTS.ENABLED", True, *changes)
    model = bridge.SwinV2Trainer.build_model(cfg).train()
    optimizer = bridge.SwinV2Trainer.build_optimizer(cfg, model)
    inputs, losses = batch(bridge), []
    with EventStorage():
        for _ in range(10):
            parts = model(inputs)
            loss = sum(parts.values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert sum(name.startswith("loss_mask") for name in parts) == (3 if changes == MASK_CASCADE else 1)


def test_mask_heads_of_all_stages_learn(bridge):
    """Each gets a gradient, also from a batch with a picture without objects."""
    from detectron2.utils.events import EventStorage

    model = build(bridge, *MASK_CASCADE).train()
    inputs = batch(bridge)
    inputs[1]["instances"] = inputs[1]["instances"][:0]
    with EventStorage():
        sum(model(inputs).values()).backward()
    assert all(head.deconv.weight.grad.abs().sum() > 0 for head in model.roi_heads.mask_head)


def test_parameter_groups(bridge):
    """Within the pyramid and within DDP's wrapper; the bias network and the scales never decay."""
    cfg = yacs(bridge, "SOLVER.LAYER_DECAY", 0.5, "SOLVER.BASE_LR", 1.0, "SOLVER.WEIGHT_DECAY", 0.05)
    model = bridge.SwinV2Trainer.build_model(cfg)
    for groups, prefix in (
        (bridge.build_optimizer(cfg, model).param_groups, ""),
        (parameter_groups(nn.ModuleDict({"module": model}), 1.0, 0.05, 0.5), "module."),
    ):
        settings = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
        named = nn.ModuleDict({"module": model}) if prefix else model
        found = {name.removeprefix(prefix): settings[id(p)] for name, p in named.named_parameters()}
        block = "backbone.bottom_up.swin.layers.3.blocks.0."
        assert found[f"{block}attn.qkv.weight"] == (0.5, 0.05)
        assert found[f"{block}attn.cpb_mlp.0.weight"] == found[f"{block}attn.logit_scale"] == (0.5, 0.0)
        assert found["backbone.bottom_up.swin.patch_embed.proj.weight"] == (0.5**5, 0.05)
        assert found["roi_heads.box_head.fc1.weight"] == found["backbone.fpn_lateral2.weight"] == (1.0, 0.05)


def test_checkpoint_round_trip(bridge, tmp_path):
    """What detectron2's checkpointer saves it loads, windows of the training included."""
    model = build(bridge, "MODEL.SWINV2.NAME", "swinv2_tiny_window16_256")
    bridge.DetectionCheckpointer(model, str(tmp_path)).save("model")
    other = build(bridge)
    bridge.DetectionCheckpointer(other).load(str(tmp_path / "model.pth"))
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in model.state_dict().items())
    assert other.backbone.bottom_up.swin.pretrained_window_sizes[0] == (16, 16)


DETECTORS = {
    "mask r-cnn": (MaskRCNN, {}, {}, ()),
    "faster r-cnn": (MaskRCNN, {"masks": False}, {}, ("MODEL.MASK_ON", False)),
    "convolutions": (MaskRCNN, {"box_head": "4conv1fc"}, {}, CONVOLUTIONS),
    "cascade, one mask head": (CascadeMaskRCNN, {}, {"mask_heads": 1}, CASCADE),
    "cascade, mask head per stage": (
        CascadeMaskRCNN,
        {"box_head": "4conv1fc", "box_head_norm": "batch"},
        {},
        (*MASK_CASCADE, *CONVOLUTIONS, "MODEL.ROI_BOX_HEAD.NORM", "BN"),
    ),
    "cascade of boxes": (
        CascadeMaskRCNN,
        {"box_head": "4conv1fc", "box_head_norm": "group", "masks": False},
        {},
        (*CASCADE, *CONVOLUTIONS, "MODEL.ROI_BOX_HEAD.NORM", "GN", "MODEL.MASK_ON", False),
    ),
}


@pytest.mark.parametrize("given", DETECTORS.values(), ids=list(DETECTORS))
def test_detections_are_the_same_there(bridge, given, tmp_path):
    """Our weights, converted and loaded by its checkpointer, find there what they find here, on several images."""
    kind, roi, options, changes = given
    ours, theirs = detector(kind, roi, **options), build(bridge, *changes)
    convert(ours.state_dict(), tmp_path / "there.pth", "detectron2")
    left = bridge.DetectionCheckpointer(theirs).load(str(tmp_path / "there.pth"))
    assert set(left) <= {"__author__", "matching_heuristics"}
    images = pictures((64, 96), (96, 96))
    with torch.no_grad():
        found = ours(images)
    for image, one in zip(images, found, strict=True):
        assert_same(one, detect_there(theirs, image))


@pytest.mark.parametrize("mask_per_stage", [True, False])
def test_detections_are_the_same_here(bridge, mask_per_stage):
    """Weights of detectron2 find here what they find there."""
    ours = detector(CascadeMaskRCNN, mask_heads=3 if mask_per_stage else 1)
    theirs = build(bridge, *(MASK_CASCADE if mask_per_stage else CASCADE), "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0)
    ours.roi_heads.postprocess = Postprocess(score_threshold=0.0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    ours.load_state_dict(from_detectron2(theirs.state_dict()))
    (image,) = pictures((64, 64))
    with torch.no_grad():
        assert_same(ours([image])[0], detect_there(theirs, image))


def test_cascade_equals_theirs_on_given_features(bridge):
    """The RoI heads alone: the same maps and proposals give the same detections."""
    from detectron2.structures import Boxes

    ours, theirs = detector(CascadeMaskRCNN, mask_heads=1), build(bridge, *CASCADE)
    theirs.load_state_dict(to_detectron2(ours.state_dict()))
    maps = [torch.randn(1, 32, 64 // 2**level, 96 // 2**level) for level in range(5)]
    corners = torch.rand(30, 2) * torch.tensor([300.0, 170.0])
    boxes = torch.cat([corners, corners + 10 + 70 * torch.rand(30, 2)], dim=1)
    proposals = bridge.Instances((256, 384))
    proposals.proposal_boxes = Boxes(boxes)
    with torch.no_grad():
        named = {f"p{level + 2}": x for level, x in enumerate(maps)}
        found, _ = theirs.roi_heads(None, named, [proposals])
        (here,) = ours.roi_heads.detect([Pyramid([0], maps)], [boxes], [(256, 384)])
    there = {"boxes": found[0].pred_boxes.tensor, "scores": found[0].scores, "labels": found[0].pred_classes}
    assert_same(here, there | {"masks": found[0].pred_masks[:, 0]})


@pytest.fixture
def found_data(tmp_path):
    """Pictures, and annotations made of what a detector finds in them, so that it scores well without training."""

    def make(model):
        content = {"images": [], "annotations": [], "categories": [{"id": 2 * i + 3, "name": str(i)} for i in range(3)]}
        for image_id, image in enumerate(pictures(*[(64, 64)] * 4), start=1):
            cv2.imwrite(str(tmp_path / f"{image_id}.png"), image.permute(1, 2, 0).numpy()[..., ::-1])
            content["images"].append({"id": image_id, "file_name": f"{image_id}.png", "height": 64, "width": 64})
            with torch.no_grad():
                (found,) = model([image])
            boxes = (found["boxes"][:8:2] + torch.tensor([0.3, 0.0, 0.5, 0.2])).clamp(max=64)  # not quite the same
            regions = encode_masks(found["masks"][:8:2], boxes, (64, 64))
            for box, label, region in zip(boxes.tolist(), found["labels"][:8:2].tolist(), regions, strict=True):
                left, top, right, bottom = box
                content["annotations"].append(
                    {
                        "id": len(content["annotations"]) + 1,
                        "image_id": image_id,
                        "category_id": 2 * label + 3,
                        "bbox": [left, top, right - left, bottom - top],
                        "area": (right - left) * (bottom - top),
                        "segmentation": region,
                        "iscrowd": 0,
                    }
                )
        (tmp_path / "truth.json").write_text(json.dumps(content))
        return tmp_path

    return make


@pytest.mark.parametrize(("kind", "changes"), [(MaskRCNN, ()), (CascadeMaskRCNN, MASK_CASCADE)])
def test_average_precision_is_the_same_there(bridge, kind, changes, found_data):
    """Its data, its model with our weights and its evaluator give our figures."""
    from detectron2.data import DatasetCatalog, DatasetMapper, build_detection_test_loader
    from detectron2.data.datasets import register_coco_instances

    ours, theirs = detector(kind), build(bridge, *changes)
    theirs.load_state_dict(to_detectron2(ours.state_dict()))
    root = found_data(ours)
    register_coco_instances(root.name, {}, str(root / "truth.json"), str(root))
    mapper = DatasetMapper(is_train=False, augmentations=[], image_format="RGB")
    loader = build_detection_test_loader(DatasetCatalog.get(root.name), mapper=mapper)
    there = bridge.inference_on_dataset(theirs, loader, bridge.COCOEvaluator(root.name, output_dir=str(root)))
    here = CocoEvaluator(CocoAnnotations(root / "truth.json"))
    for image_id in here.annotations.images:
        image = torch.from_numpy(cv2.imread(str(root / f"{image_id}.png"))[..., ::-1].copy()).permute(2, 0, 1)
        with torch.no_grad():
            here.update(ours([image]), [{"image_id": image_id, "size": (64, 64), "orig_size": (64, 64)}])
    scores = here.compute()
    assert scores["box/AP"] > 0.1 and scores["mask/AP"] > 0.1
    for name, part in (("box", "bbox"), ("mask", "segm")):
        for figure in ("AP", "AP50", "AP75"):
            assert there[part][figure] == pytest.approx(100 * scores[f"{name}/{figure}"], abs=1e-3)


def tiny_shapes(monkeypatch, root):
    """Makes the quickstart draw a few small pictures."""
    make = swinv2.shapes.make_detection
    monkeypatch.setattr(swinv2.shapes, "make_detection", lambda folder, **_: make(folder, train=4, val=2, size=64))
    monkeypatch.chdir(root)


def arguments(config, *changes, **options):
    """What the command line gives."""
    given = {"eval_only": False, "resume": False, "num_gpus": 0, "config_file": str(CONFIGS / config)}
    return Namespace(**given | options, opts=list(changes))


@pytest.fixture
def clean(bridge):
    """Takes back what detectron2 keeps of a run: the quickstart's data, and where it logs to."""
    from detectron2.data import DatasetCatalog, MetadataCatalog
    from detectron2.utils.logger import setup_logger

    yield
    setup_logger.cache_clear()
    for handler in [h for name in ("detectron2", "fvcore") for h in logging.getLogger(name).handlers]:
        handler.close()
    for name in ("detectron2", "fvcore"):
        logging.getLogger(name).handlers.clear()
    for name in ("shapes_train", "shapes_val"):
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


@pytest.mark.parametrize("config", ["quickstart.py", "quickstart_cascade.py"])
def test_lazy_config_trains_resumes_and_scores(bridge, clean, config, tmp_path, monkeypatch, capfd):
    """Three steps with an evaluation, one more from where they ended, and the evaluation alone."""
    tiny_shapes(monkeypatch, tmp_path)
    common = ["train.output_dir=out", "train.log_period=1"]
    bridge.run(arguments(config, "train.max_iter=3", "train.eval_period=3", *common))
    assert "copypaste: Task: segm" in "".join(capfd.readouterr())
    bridge.run(arguments(config, "train.max_iter=4", "train.eval_period=0", *common, resume=True))
    steps = [json.loads(line)["iteration"] for line in Path("out/metrics.json").read_text().splitlines()]
    assert steps.count(0) == 1 and steps[-1] == 4
    bridge.run(arguments(config, "train.init_checkpoint=out/model_final.pth", *common, eval_only=True))
    assert "copypaste: Task: segm" in "".join(capfd.readouterr())


def test_yacs_recipe_trains_and_scores(bridge, clean, tmp_path, monkeypatch, capfd):
    """By the command, with options behind the file."""
    from swinv2.cli import main

    tiny_shapes(monkeypatch, tmp_path)
    bridge.LazyConfig.load(str(CONFIGS / "quickstart.py"))  # registers the data
    small = [str(x) for key, value in SMALL.items() for x in (f"MODEL.SWINV2.{key.upper()}", value)]
    solver = "SOLVER.MAX_ITER 2 SOLVER.IMS_PER_BATCH 2 SOLVER.STEPS () SOLVER.AMP.ENABLED False TEST.EVAL_PERIOD 2"
    data = "DATASETS.TRAIN ('shapes_train',) DATASETS.TEST ('shapes_val',) DATALOADER.NUM_WORKERS 0"
    size = "INPUT.MIN_SIZE_TRAIN (64,64) INPUT.MIN_SIZE_TEST 64 MODEL.ROI_HEADS.NUM_CLASSES 4 MODEL.FPN.OUT_CHANNELS 32"
    heads = "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE 8 MODEL.RPN.POST_NMS_TOPK_TEST 8 MODEL.ROI_BOX_HEAD.CONV_DIM 16"
    rest = "MODEL.DEVICE cpu OUTPUT_DIR out MODEL.SWINV2.WEIGHTS None"
    options = [*" ".join((solver, data, size, heads, rest)).split(), *small]
    config = ["--config-file", str(CONFIGS / "cascade_mask_rcnn_swinv2_tiny_coco.yml"), "--num-gpus", "0"]
    assert main(["detectron2", *config, *options]) == 0
    assert main(["detectron2", *config, "--eval-only", *options, "MODEL.WEIGHTS", "out/model_final.pth"]) == 0
    assert "".join(capfd.readouterr()).count("copypaste: Task: segm") == 2


@pytest.mark.parametrize("config", ["mask_rcnn_swinv2_tiny_coco.py", "cascade_mask_rcnn_swinv2_tiny_coco.py"])
def test_lazy_recipe_trains(bridge, clean, config, tmp_path, monkeypatch):
    """Two steps of the recipes for COCO, with their augmentation, on made data."""
    tiny_shapes(monkeypatch, tmp_path)
    bridge.LazyConfig.load(str(CONFIGS / "quickstart.py"))  # registers the data
    small = [f"model.backbone.bottom_up.backbone.{key}={value}" for key, value in SMALL.items()]
    small += ["model.backbone.bottom_up.backbone.weights=null", "model.backbone.out_channels=32"]
    small += ["model.roi_heads.batch_size_per_image=8", "model.proposal_generator.post_nms_topk=[50,10]"]
    if "cascade" in config:
        small += [f"model.roi_heads.box_heads.{stage}.conv_dims=[16]" for stage in range(3)]
    data = ["dataloader.train.dataset.names=shapes_train", "dataloader.test.dataset.names=shapes_val"]
    data += ["dataloader.train.total_batch_size=1", "dataloader.test.num_workers=0"]
    data += ["dataloader.train.num_workers=0", "model.roi_heads.num_classes=4"]
    settings = ["train.device=cpu", "train.amp.enabled=false", "train.max_iter=2", "train.eval_period=0"]
    bridge.run(arguments(config, *small, *data, *settings, "train.output_dir=out"))
    assert Path("out/model_final.pth").exists()


def without(monkeypatch, prefix):
    """Forget imported modules, so that they are imported anew."""
    for name in [name for name in sys.modules if name == prefix or name.startswith(f"{prefix}.")]:
        monkeypatch.delitem(sys.modules, name)


def test_absent(monkeypatch):
    """The error says how to build detectron2."""
    without(monkeypatch, "detectron2")
    without(monkeypatch, "detection.detectron2")
    monkeypatch.setitem(sys.modules, "detectron2", None)
    with pytest.raises(
        ImportError, match=r"detectron2 is not installed; .*pip install --no-build-isolation 'git\+https"
    ):
        importlib.import_module("detection.detectron2")


def test_absent_for_the_command(monkeypatch, capsys):
    """One message, no traceback."""
    from swinv2.cli import main

    without(monkeypatch, "detectron2")
    without(monkeypatch, "detection.detectron2")
    monkeypatch.setitem(sys.modules, "detectron2", None)
    assert main(["detectron2", "--config-file", "a.py"]) == 1
    assert capsys.readouterr().err.startswith("error: detectron2 is not installed; build it from its source: pip")


def test_detection_works_without():
    """Detectors and the conversion of weights need no detectron2."""
    code = "import sys; sys.modules['detectron2'] = None; import detection, detection.detectron2_weights"
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("detectron2.config.LazyConfig", r"cannot be used \(.*LazyConfig.*\): it is too old"),
        ("detectron2.modeling.Backbone.padding_constraints", "too old: its Backbone has no padding_constraints"),
    ],
)
def test_too_old(bridge, place, message, monkeypatch):
    """A version before LazyConfig, and one before padding constraints."""
    without(monkeypatch, "detection.detectron2")
    monkeypatch.delattr(place)
    with pytest.raises(ImportError, match=message):
        importlib.import_module("detection.detectron2")
