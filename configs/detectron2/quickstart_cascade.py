"""The quickstart with three stages, each with a mask head: as configs/detection/quickstart.yaml as a CascadeMaskRCNN.

    swinv2 detectron2 --config-file configs/detectron2/quickstart_cascade.py

Expected: see docs/detectron2.md. assumed: equal weights of the stages' losses, no gradient clipping, as in detectron2.
"""

from .cascade_mask_rcnn_swinv2_tiny_coco import model as _cascade
from .quickstart import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

_heads = _cascade.roi_heads  # names without underscore would be keys of the configuration
for part in ("num_classes", "batch_size_per_image", "box_pooler", "mask_pooler"):
    _heads[part] = model.roi_heads[part]
for _box_head in _heads.box_heads:
    _box_head.update(conv_dims=[], fc_dims=[256, 256], conv_norm="")
for _predictor in _heads.box_predictors:
    _predictor.update(box_reg_loss_type="smooth_l1", loss_weight={"loss_box_reg": 1.0})
    _predictor.input_shape.channels = 256
for _mask_head in _heads.mask_head.modules:
    _mask_head.conv_dims = [32, 32, 32]
model.roi_heads = _heads
train.output_dir = "runs/detectron2/quickstart_cascade"
