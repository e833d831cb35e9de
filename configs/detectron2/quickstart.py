"""The small Mask R-CNN of configs/detection/quickstart.yaml in detectron2, on the same shapes: trained or scored there.

    swinv2 detectron2 --config-file configs/detectron2/quickstart.py

Expected: see docs/detectron2.md. assumed: no gradient clipping (detectron2's trainer has none).
"""

from pathlib import Path

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.data import DatasetCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import CosineParamScheduler

from swinv2 import create_backbone
from swinv2.shapes import make_detection

from .mask_rcnn_swinv2_tiny_coco import dataloader, model, optimizer, train

root = make_detection(Path("data/shapes/detection"), train=1000, val=200, size=96)
for part in ("train", "val"):
    if f"shapes_{part}" not in DatasetCatalog:
        register_coco_instances(
            f"shapes_{part}", {}, str(root / f"annotations/instances_{part}.json"), str(root / part)
        )

model.backbone.bottom_up.backbone = L(create_backbone)(
    name="swinv2_tiny_window8_256", embed_dim=32, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8]
)
model.backbone.out_channels = 64
model.proposal_generator.anchor_generator.sizes = [[8], [16], [32], [64], [128]]
model.proposal_generator.batch_size_per_image = 128
model.proposal_generator.pre_nms_topk = (200, 200)
model.proposal_generator.post_nms_topk = (100, 100)
model.roi_heads.num_classes = 4
model.roi_heads.batch_size_per_image = 64
model.roi_heads.box_pooler.sampling_ratio = 1
model.roi_heads.mask_pooler.sampling_ratio = 1
model.roi_heads.box_head.fc_dims = [256, 256]
model.roi_heads.box_predictor.input_shape.channels = 256
model.roi_heads.mask_head.conv_dims = [32, 32, 32]

dataloader.train.dataset.names = "shapes_train"
dataloader.train.mapper.augmentations = [L(T.RandomFlip)(horizontal=True)]
dataloader.train.total_batch_size = 4
dataloader.train.num_workers = 0
dataloader.test.dataset.names = "shapes_val"
dataloader.test.mapper.augmentations = []
dataloader.test.num_workers = 0

optimizer.lr = 1.5e-3
train.max_iter = 1500
train.eval_period = 750
train.checkpointer.period = 750
train.amp.enabled = False
train.device = "cpu"
train.output_dir = "runs/detectron2/quickstart"
lr_multiplier = L(WarmupParamScheduler)(
    scheduler=L(CosineParamScheduler)(start_value=1.0, end_value=0.0), warmup_factor=0.001, warmup_length=100 / 1500
)
