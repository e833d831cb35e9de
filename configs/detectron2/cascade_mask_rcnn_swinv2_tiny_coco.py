"""Cascade Mask R-CNN, SwinV2-T, COCO 2017, 36 epochs, in detectron2: the paper's ablation (arXiv:2111.09883, A1.2).

    swinv2 detectron2 --config-file configs/detectron2/cascade_mask_rcnn_swinv2_tiny_coco.py --num-gpus 8

Published: box AP 51.1 with window 16 (table 1; with mmdetection). Not run here to the end.
Stated in the paper: as in mask_rcnn_swinv2_tiny_coco.py beside this file.
assumed, beside what is assumed there: heads of four convolutions with synchronised batch norm and one fully connected
layer, GIoU loss with weight 10 (the authors' Swin V1 configs), a mask head for every stage. Unlike mmdetection's, the
losses of the stages have equal weights, as detectron2 has it.
"""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.roi_heads import FastRCNNConvFCHead, FastRCNNOutputLayers, MaskRCNNConvUpsampleHead
from torch import nn

from detection.detectron2 import CascadeMaskROIHeads

from .mask_rcnn_swinv2_tiny_coco import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

for replaced in ("box_head", "box_predictor", "proposal_matcher"):
    model.roi_heads.pop(replaced)
model.roi_heads.update(
    _target_=CascadeMaskROIHeads,
    box_heads=[
        L(FastRCNNConvFCHead)(
            input_shape=L(ShapeSpec)(channels="${.....backbone.out_channels}", height=7, width=7),
            conv_dims=[256, 256, 256, 256],
            fc_dims=[1024],
            conv_norm="SyncBN",
        )
        for _ in range(3)
    ],
    box_predictors=[
        L(FastRCNNOutputLayers)(
            input_shape=L(ShapeSpec)(channels=1024),
            test_score_thresh=0.05,
            box2box_transform=L(Box2BoxTransform)(weights=weights),
            cls_agnostic_bbox_reg=True,
            box_reg_loss_type="giou",
            loss_weight={"loss_box_reg": 10.0},
            num_classes="${...num_classes}",
        )
        for weights in [(10, 10, 5, 5), (20, 20, 10, 10), (30, 30, 15, 15)]
    ],
    proposal_matchers=[
        L(Matcher)(thresholds=[threshold], labels=[0, 1], allow_low_quality_matches=False)
        for threshold in (0.5, 0.6, 0.7)
    ],
    mask_head=L(nn.ModuleList)(
        modules=[
            L(MaskRCNNConvUpsampleHead)(
                input_shape=L(ShapeSpec)(channels="${......backbone.out_channels}", height=14, width=14),
                num_classes="${....num_classes}",
                conv_dims=[256, 256, 256, 256, 256],
            )
            for _ in range(3)
        ]
    ),
)
