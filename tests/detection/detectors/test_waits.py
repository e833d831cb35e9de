"""How often a training step of each detector waits for a GPU: two images, each of its own size."""

import pytest
import torch

from detection import CascadeMaskRCNN, FasterRCNN, HybridTaskCascade, MaskRCNN, RetinaNet, RoIConfig, RPNConfig
from swinv2 import BackboneConfig

BACKBONE = {"name": "swinv2_tiny_window8_256", "embed_dim": 8, "depths": [1] * 4, "num_heads": [1] * 4}
PARTS = {
    "fpn_channels": 8,
    "rpn": RPNConfig((8, 16, 32, 64, 128), (50, 50), 20, 16),
    "roi": RoIConfig(box_head_dim=16, mask_head_dim=8, mask_head_convs=1, samples=16),
}
WAITS = [  # each: an image's NMS; a size's proposals, anchors and boxes by level in every pooling; a stage's samples
    (MaskRCNN, PARTS, 2 + 2 * (1 + 1 + 2) + 1),
    (CascadeMaskRCNN, PARTS, 2 + 2 * (1 + 1 + 3 * 2) + 3),
    (HybridTaskCascade, PARTS | {"semantic_classes": 5}, 2 + 2 * (1 + 1 + 3 * 2) + 3 * 2),
    (FasterRCNN, {"fpn_channels": 8}, 14),  # torchvision's: pooling 4, checks 2, NMS 2, samples 4, and so on
    (RetinaNet, {"fpn_channels": 8}, 2),  # torchvision's checks
]


@pytest.mark.parametrize(("kind", "parts", "waits"), WAITS, ids=lambda value: getattr(value, "__name__", ""))
def test_waits_of_a_step(kind, parts, waits, pictures, gpu):
    """No more than these, and no copy to the GPU."""
    backbone = BackboneConfig(**BACKBONE, out_indices=(1, 2, 3) if kind is RetinaNet else (0, 1, 2, 3))
    model = kind(backbone, 3, **parts).to("cuda")
    images, targets = pictures
    images = [image.to("cuda", non_blocking=True) for image in images]
    targets = [{key: value.to("cuda", non_blocking=True) for key, value in one.items()} for one in targets]
    for _ in range(2):
        gpu.clear()  # anchors are copied once
        torch.stack(list(model(images, targets).values())).sum().backward()
    assert (gpu.waits.total(), gpu.copies.total()) == (waits, 0), gpu.waits
