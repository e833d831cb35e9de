"""SwinV2 inside detectron2: backbone, cascade with a mask head per stage, optimiser, training (docs/detectron2.md).

The only file that imports detectron2. Importing it registers the backbones and heads that detectron2 looks up by name.
"""

from argparse import Namespace
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from swinv2 import SwinTransformerV2, create_backbone
from swinv2.commands.recipes import find_recipe
from swinv2.training.parameter_groups import parameter_groups

INSTALL = "pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2'"

try:
    from detectron2 import engine
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.config import CfgNode, LazyConfig, get_cfg, instantiate
    from detectron2.evaluation import COCOEvaluator, inference_on_dataset, print_csv_format
    from detectron2.layers import ShapeSpec
    from detectron2.modeling import BACKBONE_REGISTRY, ROI_HEADS_REGISTRY, Backbone
    from detectron2.modeling.backbone.fpn import FPN, LastLevelMaxPool
    from detectron2.modeling.roi_heads import CascadeROIHeads
    from detectron2.modeling.roi_heads.roi_heads import select_foreground_proposals
    from detectron2.solver.build import maybe_add_gradient_clipping
    from detectron2.structures import Instances, pairwise_iou
    from detectron2.utils import comm
except ImportError as error:
    unusable = f"cannot be used ({error}): it is too old, or was built for another torch"
    problem = unusable if find_spec("detectron2") else "is not installed"
    raise ImportError(f"detectron2 {problem}; build it from its source: {INSTALL}") from error
if not hasattr(Backbone, "padding_constraints"):
    raise ImportError(f"detectron2 is too old: its Backbone has no padding_constraints; build it anew: {INSTALL}")

FIRST_LEVEL = 2  # the first stage has stride 2**2, and detectron2 calls its output res2


class SwinV2Backbone(Backbone):
    """SwinV2 backbone with detectron2's interface: features by name, `res2` to `res5`.

    Args:
        backbone: the backbone, for example from `create_backbone`.
    """

    def __init__(self, backbone: SwinTransformerV2):
        super().__init__()
        self.swin = backbone
        self._out_features = [f"res{i + FIRST_LEVEL}" for i in backbone.out_indices]
        self._out_feature_channels = dict(zip(self._out_features, backbone.channels, strict=True))
        self._out_feature_strides = dict(zip(self._out_features, backbone.strides, strict=True))

    def forward(self, x: Float[Tensor, "b channels h w"]) -> dict[str, Float[Tensor, "b _ _ _"]]:
        """The feature maps of a batch of normalised images of any size, finest first."""
        return dict(zip(self._out_features, self.swin(x), strict=True))

    @property
    def size_divisibility(self) -> int:
        """Stride to whose multiples detectron2 pads images: the backbone takes any size, a pyramid on it does not."""
        return self.swin.strides[-1]

    @property
    def padding_constraints(self) -> dict[str, int]:
        """`size_divisibility` in detectron2's newer form, without padding to squares."""
        return {"size_divisibility": self.size_divisibility, "square_size": 0}


def add_swinv2_config(cfg: CfgNode) -> None:
    """Add `MODEL.SWINV2` (arguments of `create_backbone`), `SOLVER.LAYER_DECAY` and `SOLVER.BACKBONE_LR_SCALE`.

    Only keys are added. The weights were trained on RGB: set `INPUT.FORMAT`, `MODEL.PIXEL_MEAN` and `MODEL.PIXEL_STD`
    as the recipes in configs/detectron2 do.

    Args:
        cfg: a yacs configuration, changed in place.
    """
    cfg.MODEL.SWINV2 = CfgNode()
    cfg.MODEL.SWINV2.NAME = "swinv2_tiny_window8_256"
    cfg.MODEL.SWINV2.WINDOW_SIZE = None  # None: window of the named model
    cfg.MODEL.SWINV2.WEIGHTS = None  # imagenet1k, imagenet22k or a checkpoint, "" for none; before MODEL.WEIGHTS
    cfg.MODEL.SWINV2.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.SWINV2.DROP_PATH_RATE = 0.0
    cfg.MODEL.SWINV2.FROZEN_STAGES = -1
    cfg.MODEL.SWINV2.CHECKPOINTING = False
    cfg.MODEL.SWINV2.ENGINE = "auto"
    cfg.MODEL.SWINV2.EMBED_DIM = None  # None here and in the next two lines: as in the named model
    cfg.MODEL.SWINV2.DEPTHS = None
    cfg.MODEL.SWINV2.NUM_HEADS = None
    cfg.SOLVER.LAYER_DECAY = 1.0
    cfg.SOLVER.BACKBONE_LR_SCALE = 1.0


@BACKBONE_REGISTRY.register()
def build_swinv2_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> SwinV2Backbone:
    """The backbone of `cfg.MODEL.SWINV2`, for images of as many channels as `MODEL.PIXEL_MEAN` has.

    Args:
        cfg: configuration with the keys of `add_swinv2_config`.
        input_shape: its `channels` are the channels of the images.

    Raises:
        ValueError: a feature that does not exist, or an option that `create_backbone` does not accept.
    """
    options = {key.lower(): value for key, value in cfg.MODEL.SWINV2.items()}
    options["weights"] = options["weights"] or None
    names = [f"res{level}" for level in range(FIRST_LEVEL, FIRST_LEVEL + 4)]
    features = options.pop("out_features")
    if unknown := [name for name in features if name not in names]:
        raise ValueError(f"MODEL.SWINV2.OUT_FEATURES are of {', '.join(names)}, got {', '.join(map(str, unknown))}.")
    stages = [names.index(name) for name in features]
    return SwinV2Backbone(create_backbone(**options, out_indices=stages, in_channels=input_shape.channels))


@BACKBONE_REGISTRY.register()
def build_swinv2_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """`build_swinv2_backbone` under detectron2's feature pyramid, with `p6` by subsampling.

    Args:
        cfg: configuration with the keys of `add_swinv2_config`; `MODEL.FPN.IN_FEATURES` are among
            `MODEL.SWINV2.OUT_FEATURES`.
        input_shape: its `channels` are the channels of the images.
    """
    return FPN(
        bottom_up=build_swinv2_backbone(cfg, input_shape),
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelMaxPool(),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )


@ROI_HEADS_REGISTRY.register()
class CascadeMaskROIHeads(CascadeROIHeads):
    """detectron2's cascade with a mask head in every stage, as in mmdetection; detectron2's own has only one.

    In training each head learns from the boxes of its stage; in evaluation the probabilities are averaged. `mask_head`
    is a ModuleList, in a LazyConfig `L(nn.ModuleList)(modules=[…])`; the box losses are as in detectron2.
    """

    @classmethod
    def _init_mask_head(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        build = super()._init_mask_head
        stages = [build(cfg, input_shape) for _ in cfg.MODEL.ROI_BOX_CASCADE_HEAD.IOUS]
        heads = [stage["mask_head"] for stage in stages if "mask_head" in stage]
        return stages[0] | {"mask_head": nn.ModuleList(heads)} if heads else {}

    def _forward_box(
        self, features: dict[str, Tensor], proposals: list[Instances], targets: list[Instances] | None = None
    ) -> Any:
        self.labelled = [proposals]  # proposals of each stage, while training
        return super()._forward_box(features, proposals, targets)

    def _match_and_label_boxes(
        self, proposals: list[Instances], stage: int, targets: list[Instances]
    ) -> list[Instances]:
        proposals = super()._match_and_label_boxes(proposals, stage, targets)
        for found, truth in zip(proposals, targets, strict=True):
            if truth.has("gt_masks") and len(truth):
                found.gt_masks = truth.gt_masks[pairwise_iou(truth.gt_boxes, found.proposal_boxes).argmax(dim=0)]
        self.labelled.append(proposals)
        return proposals

    def _forward_mask(self, features: dict[str, Tensor], instances: list[Instances]) -> Any:
        if not self.mask_on:
            return super()._forward_mask(features, instances)
        maps = [features[name] for name in self.mask_in_features]
        return self._mask_losses(maps) if self.training else self._average_masks(maps, instances)

    def _mask_losses(self, maps: list[Tensor]) -> dict[str, Tensor]:
        losses = {}
        for stage, (head, proposals) in enumerate(zip(self.mask_head, self.labelled, strict=False)):
            positive, _ = select_foreground_proposals(proposals, self.num_classes)
            pooled = self.mask_pooler(maps, [image.proposal_boxes for image in positive])
            losses[f"loss_mask_stage{stage}"] = head(pooled, positive)["loss_mask"] / len(self.mask_head)
        return losses

    def _average_masks(self, maps: list[Tensor], instances: list[Instances]) -> list[Instances]:
        pooled = self.mask_pooler(maps, [image.pred_boxes for image in instances])
        found = [[image.pred_masks for image in head(pooled, instances)] for head in self.mask_head]
        for image, masks in zip(instances, zip(*found, strict=True), strict=True):
            image.pred_masks = torch.stack(masks).mean(dim=0)  # (n, 1, 28, 28)
        return instances


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW from `SOLVER.BASE_LR`, `WEIGHT_DECAY`, `LAYER_DECAY`, `BACKBONE_LR_SCALE` and `CLIP_GRADIENTS`.

    `parameter_groups` says which parameters do not decay; a LazyConfig calls that function directly.

    Args:
        cfg: configuration with the keys of `add_swinv2_config`.
        model: the detector.
    """
    solver = cfg.SOLVER
    rates = solver.BASE_LR, solver.WEIGHT_DECAY, solver.LAYER_DECAY, solver.BACKBONE_LR_SCALE
    groups = parameter_groups(model, *rates)
    return maybe_add_gradient_clipping(cfg, torch.optim.AdamW)(groups, lr=solver.BASE_LR)


class SwinV2Trainer(engine.DefaultTrainer):
    """detectron2's trainer of yacs configurations with AdamW and COCO's evaluation."""

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW of `build_optimizer`."""
        return build_optimizer(cfg, model)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> COCOEvaluator:
        """COCO's average precision of boxes and masks."""
        return COCOEvaluator(dataset_name, output_dir=cfg.OUTPUT_DIR)


def main(args: Sequence[str]) -> None:
    """Train or score by a LazyConfig (.py) or a yacs configuration (.yml, .yaml), on one or more GPUs.

    Args:
        args: the command line after `swinv2 detectron2`, as detectron2's own training scripts take it.
    """
    given = engine.default_argument_parser().parse_args(args)
    if given.config_file and "://" not in given.config_file:  # detectron2 finds its own and those of the web
        given.config_file = str(find_recipe(given.config_file, "detectron2"))
    machines = {key: getattr(given, key) for key in ("num_machines", "machine_rank", "dist_url")}
    engine.launch(run, given.num_gpus, **machines, args=(given,))


def run(args: Namespace) -> None:
    """Train or score in one process, by the suffix of the configuration file."""
    (run_lazy if args.config_file.endswith(".py") else run_yacs)(args)


def run_yacs(args: Namespace) -> None:
    """Train, or score with `--eval-only`, by a yacs configuration."""
    cfg = get_cfg()
    add_swinv2_config(cfg)
    cfg.merge_from_file(args.config_file)
    cfg.merge_from_list(args.opts)
    cfg.freeze()
    engine.default_setup(cfg, args)
    if args.eval_only:
        model = SwinV2Trainer.build_model(cfg)
        DetectionCheckpointer(model).load(cfg.MODEL.WEIGHTS)
        SwinV2Trainer.test(cfg, model)
    else:
        trainer = SwinV2Trainer(cfg)
        trainer.resume_or_load(args.resume)
        trainer.train()


def run_lazy(args: Namespace) -> None:
    """Train, or score with `--eval-only`, by a LazyConfig."""
    cfg = LazyConfig.apply_overrides(LazyConfig.load(args.config_file), args.opts)
    engine.default_setup(cfg, args)
    model = instantiate(cfg.model).to(cfg.train.device)
    if args.eval_only:
        DetectionCheckpointer(model).load(cfg.train.init_checkpoint)
        score(cfg, engine.create_ddp_model(model))
        return
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    model = engine.create_ddp_model(model, **cfg.train.ddp)
    trainer = (engine.AMPTrainer if cfg.train.amp.enabled else engine.SimpleTrainer)(
        model, instantiate(cfg.dataloader.train), optimizer
    )
    checkpointer = DetectionCheckpointer(model, cfg.train.output_dir, trainer=trainer)
    trainer.register_hooks(lazy_hooks(cfg, model, checkpointer))
    checkpointer.resume_or_load(cfg.train.init_checkpoint, resume=args.resume)
    resumed = args.resume and checkpointer.has_checkpoint()
    trainer.train(trainer.iter + 1 if resumed else 0, cfg.train.max_iter)


def lazy_hooks(cfg: Any, model: nn.Module, checkpointer: DetectionCheckpointer) -> list[Any]:
    """Hooks between the steps: timer, schedule, checkpoints, evaluation, metrics; only the first process writes."""
    main_process = comm.is_main_process()
    writers = engine.default_writers(cfg.train.output_dir, cfg.train.max_iter) if main_process else []
    return [
        engine.hooks.IterationTimer(),
        engine.hooks.LRScheduler(scheduler=instantiate(cfg.lr_multiplier)),
        engine.hooks.PeriodicCheckpointer(checkpointer, **cfg.train.checkpointer) if main_process else None,
        engine.hooks.EvalHook(cfg.train.eval_period, lambda: score(cfg, model)),
        engine.hooks.PeriodicWriter(writers, period=cfg.train.log_period) if main_process else None,
    ]


def score(cfg: Any, model: nn.Module) -> dict[str, Any]:
    """Metrics of `cfg.dataloader.evaluator` on `cfg.dataloader.test`, also printed."""
    figures = inference_on_dataset(model, instantiate(cfg.dataloader.test), instantiate(cfg.dataloader.evaluator))
    print_csv_format(figures)
    return figures
