"""Mask R-CNN beside torchvision's on timm's features; memory of a training step with `--memory`."""

import argparse
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import timm
import torch
from torch import Tensor, nn
from torchvision.models import detection as torchvision_detection
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

import swinv2
from benchmarks.peers import randomised
from benchmarks.timing import machine, medians, table
from detection import HybridTaskCascade, MaskRCNN, RoIConfig
from detection.inference.masks import encode_masks
from detection.roi.roi_pool import RoIPool
from swinv2 import BackboneConfig

SPEED, MEMORY = (Path(__file__).parent / name for name in ("detection.md", "detection_memory.md"))
NAME, WINDOW, CLASSES = "swinv2_tiny_window16_256", 16, 80
SIZE = (800, 1216)
WHOLE = (256, 256)  # every map has whole windows, so that timm computes the same function
CROP = 1536
HTC_WINDOW = 32
STUFF = 183  # classes of COCO-stuff's maps


class TimmFeatures(nn.Module):
    """A torchvision backbone: timm's model and torchvision's pyramid.

    Args:
        size: height and width of the images, which timm wants to know beforehand.
    """

    def __init__(self, size: tuple[int, int]):
        super().__init__()
        self.body = timm.create_model(NAME, features_only=True, img_size=size, window_size=WINDOW)
        self.fpn = FeaturePyramidNetwork(self.body.feature_info.channels(), 256, LastLevelMaxPool())
        self.out_channels = 256

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Pyramid of a batch."""
        return self.fpn({str(level): x.permute(0, 3, 1, 2) for level, x in enumerate(self.body(images))})


def main() -> None:
    """Measure, print the table and write it beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="how often each model is called")
    parser.add_argument("--memory", action="store_true", help="measure the memory of a training step instead")
    parser.add_argument("--step", choices=["nothing", "block"], help=argparse.SUPPRESS)  # one step, in a process
    options = parser.parse_args()
    if options.step:
        print(training_step(options.step))
        return
    path, text = (MEMORY, memory()) if options.memory else (SPEED, speed(options.rounds))
    print(text)
    path.write_text(text)


@torch.inference_mode()
def speed(rounds: int) -> str:
    """The table of times, after a look at whether both do the same."""
    same = difference()
    ours = our_model()
    theirs = torchvision_model(ours, SIZE)
    image = torch.rand(3, *SIZE)
    found, wanted = ours([image])[0], detect(theirs, image)
    assert len(found["masks"]) == len(wanted["masks"]) == 100, (len(found["masks"]), len(wanted["masks"]))
    whole = {
        "theirs": lambda: theirs([image]),
        "ours": lambda: [encode_masks(one["masks"], one["boxes"], SIZE) for one in ours([image])],
    }
    pairs = {
        "features (backbone and pyramid)": {
            "theirs": lambda: theirs.backbone(image[None]),
            "ours": lambda: ours.fpn(ours.backbone(image[None])),
        },
        "100 detections, masks 28 x 28": {"theirs": lambda: detect(theirs, image), "ours": lambda: ours([image])},
        "100 detections, masks of the image": whole,
    }
    rows = []
    for what, pair in pairs.items():
        times = medians(pair, rounds)
        rows.append([what, *(f"{1e3 * times[one]:.0f}" for one in pair), f"{times['ours'] / times['theirs']:.2f}"])
    peers = f"torchvision {metadata.version('torchvision')} on timm {metadata.version('timm')}"
    header = [f"{NAME}, window {WINDOW}, 1 x {SIZE[0]} x {SIZE[1]}", f"{peers}, ms", "ours, ms", "ours / theirs"]
    return (
        f"# Mask R-CNN, float32, inference\n\n{table(header, rows)}\n\n{machine()}, medians of {rounds} rounds.\n"
        "`python -m benchmarks.detection`. Random weights, the same in both, 1000 proposals, 80 classes, 2 points a\n"
        "bin and axis in RoIAlign. In the last row torchvision pastes probabilities into the image, ours gives\n"
        f"run lengths. At {WHOLE[0]} x {WHOLE[1]}, where timm pads nothing, the detections are the same:\n{same}.\n"
    )


def difference() -> str:
    """How far the detections of both are apart where timm computes the same function."""
    ours = our_model()
    image = torch.rand(3, *WHOLE)
    wanted, found = detect(torchvision_model(ours, WHOLE), image), ours([image])[0]
    assert torch.equal(found["labels"] + 1, wanted["labels"])
    parts = {"boxes": found["boxes"], "scores": found["scores"], "masks": found["masks"][:, None]}
    apart = [f"{name} {(x - wanted[name]).abs().max():.1e}" for name, x in parts.items()]
    return f"{len(found['labels'])} of them, largest difference of {', '.join(apart)}"


def our_model() -> MaskRCNN:
    """Ours with weights so large that it finds much, pooling as torchvision does, without the norms that timm lacks."""
    torch.manual_seed(0)
    model = MaskRCNN(BackboneConfig(NAME, window_size=WINDOW), CLASSES).eval()
    for level in range(4):
        setattr(model.backbone, f"norm{level}", nn.Identity())
    (stage,) = model.roi_heads.stages
    predictors = (stage.box_predictor.cls_score, stage.box_predictor.bbox_pred, stage.mask_head.predictor)
    for layer in (*predictors, model.rpn.head.cls_logits, model.rpn.head.bbox_pred):
        nn.init.normal_(layer.weight, std=0.02)
    model.roi_heads.pool = RoIPool(model.backbone.strides, sampling_ratio=2, aligned=False)
    return model


def torchvision_model(model: MaskRCNN, size: tuple[int, int]) -> nn.Module:
    """The peer: Mask R-CNN of torchvision on timm's features, with the anchors and weights of ours.

    Args:
        model: ours; its backbone gets random weights, which timm's then has too.
        size: height and width of the images.
    """
    theirs = torchvision_detection.MaskRCNN(
        TimmFeatures(size), CLASSES + 1, *size, rpn_anchor_generator=model.rpn.anchor_generator
    ).eval()
    (stage,) = model.roi_heads.stages
    heads = theirs.roi_heads
    randomised(theirs.backbone.body)
    weights = {key.replace("layers_", "layers."): x for key, x in theirs.backbone.body.state_dict().items()}
    swinv2.load_weights(model.backbone, weights)
    theirs.backbone.fpn.load_state_dict(model.fpn.state_dict())
    theirs.rpn.load_state_dict(model.rpn.state_dict())
    heads.box_head.fc6.load_state_dict(stage.box_head.fc1.state_dict())
    heads.box_head.fc7.load_state_dict(stage.box_head.fc2.state_dict())
    for i in range(4):
        heads.mask_head[i][0].load_state_dict(stage.mask_head.convs[2 * i].state_dict())
    heads.mask_predictor.conv5_mask.load_state_dict(stage.mask_head.deconv.state_dict())
    background_first(heads.box_predictor.cls_score, stage.box_predictor.cls_score)
    background_first(heads.box_predictor.bbox_pred, stage.box_predictor.bbox_pred)
    background_first(heads.mask_predictor.mask_fcn_logits, stage.mask_head.predictor)
    return theirs


def background_first(theirs: nn.Module, ours: nn.Module) -> None:
    """Copy a predictor's weights; torchvision has background in the first place, ours in the last or nowhere."""
    for name, x in ours.state_dict().items():
        classes = CLASSES + 1 if isinstance(theirs, nn.Linear) and len(x) == CLASSES + 1 else CLASSES
        x = x.unflatten(0, (classes, -1))
        background = x[CLASSES:] if classes > CLASSES else torch.zeros_like(x[:1])
        theirs.state_dict()[name].copy_(torch.cat([background, x[:CLASSES]]).flatten(0, 1))


def detect(model: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """Detections of torchvision's model with masks as its head gives them, before they are pasted into the image."""
    images, _ = model.transform([image])
    features = model.backbone(images.tensors)
    proposals, _ = model.rpn(images, features)
    return model.roi_heads(features, proposals, images.image_sizes)[0][0]


def memory() -> str:
    """The table of peak memory, each step in a process of its own."""
    rows = []
    for step in ("nothing", "block"):
        command = [sys.executable, "-m", "benchmarks.detection", "--step", step]
        done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
        rows.append([step, *done.stdout.split()[-2:]])
    header = [f"one image of {CROP} x {CROP}, forward and backward", "before, GiB", "peak, GiB"]
    return (
        f"# Memory of a training step, HTC++, {NAME}, window {HTC_WINDOW}, float32\n\n"
        f"{table(header, rows)}\n\n{machine()}.\n"
        "`python -m benchmarks.detection --memory`. Resident memory of a process on the CPU; 80 classes, 20 objects.\n"
    )


def training_step(checkpointing: bool) -> str:
    """Memory before and at most during a forward and backward pass, GiB."""
    torch.manual_seed(0)
    backbone = BackboneConfig(NAME, window_size=HTC_WINDOW, checkpointing=checkpointing)
    roi = RoIConfig(box_head="4conv1fc", box_head_norm="batch", box_loss="giou")
    model = HybridTaskCascade(backbone, CLASSES, roi=roi, semantic_classes=STUFF, global_attention_heads=24)
    corners = torch.rand(20, 2) * (CROP - 400)
    boxes = torch.cat([corners, corners + 40 + torch.rand(20, 2) * 360], dim=1)
    masks = torch.zeros(20, CROP, CROP, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = True
    semantic = torch.randint(0, STUFF, (CROP, CROP), dtype=torch.uint8)
    target = {"boxes": boxes, "labels": torch.arange(20), "masks": masks, "semantic": semantic}
    before = peak()
    torch.stack(list(model([torch.rand(3, CROP, CROP)], [target]).values())).sum().backward()
    return f"{before:.1f} {peak():.1f}"


def peak() -> float:
    """Largest resident memory of this process so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
