"""What the LazyConfigs here share: COCO at several scales, AdamW, the schedule, the trainer's settings.

COCO 2017 is expected in $DETECTRON2_DATASETS/coco, by default in datasets/coco.
"""

import detectron2.data.transforms as T
import torch
from detectron2.config import LazyCall as L
from detectron2.data import (
    DatasetMapper,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.evaluation import COCOEvaluator
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler
from omegaconf import OmegaConf

from swinv2.training.parameter_groups import parameter_groups

EPOCH = 7330  # steps of 16 images

dataloader = OmegaConf.create()
dataloader.train = L(build_detection_train_loader)(
    dataset=L(get_detection_dataset_dicts)(names="coco_2017_train"),
    mapper=L(DatasetMapper)(
        is_train=True,
        augmentations=[
            L(T.RandomFlip)(horizontal=True),
            L(T.ResizeShortestEdge)(short_edge_length=(480, 800), max_size=1333, sample_style="range"),
        ],
        image_format="RGB",
        use_instance_mask=True,
    ),
    total_batch_size=16,
    num_workers=4,
)
dataloader.test = L(build_detection_test_loader)(
    dataset=L(get_detection_dataset_dicts)(names="coco_2017_val", filter_empty=False),
    mapper=L(DatasetMapper)(
        is_train=False,
        augmentations=[L(T.ResizeShortestEdge)(short_edge_length=800, max_size=1333)],
        image_format="${...train.mapper.image_format}",
    ),
    num_workers=4,
)
dataloader.evaluator = L(COCOEvaluator)(dataset_name="${..test.dataset.names}")

optimizer = L(torch.optim.AdamW)(
    params=L(parameter_groups)(
        lr="${..lr}", weight_decay="${..weight_decay}", layer_decay=1.0
    ),  # training sets `model`
    lr=1e-4,
    weight_decay=0.05,
)

train = OmegaConf.create(
    {
        "output_dir": "output",
        "init_checkpoint": "",
        "max_iter": 36 * EPOCH,
        "amp": {"enabled": True},
        "ddp": {"broadcast_buffers": False},
        "checkpointer": {"period": EPOCH, "max_to_keep": 2},
        "eval_period": EPOCH,
        "log_period": 20,
        "device": "cuda",
    }
)
lr_multiplier = L(WarmupParamScheduler)(
    scheduler=L(MultiStepParamScheduler)(values=[1.0, 0.1, 0.01], milestones=[27, 33], num_updates=36),  # in epochs
    warmup_factor=0.001,
    warmup_length=1000 / (36 * EPOCH),
)
