"""Cascade Mask R-CNN: stages of rising IoU thresholds (arXiv:1712.00726)."""

from collections.abc import Sequence

from detection.detectors.fpn import FPN
from detection.detectors.rcnn import RCNN
from detection.detectors.rpn import RPN, RPNConfig
from detection.inference.postprocess import Postprocess
from detection.roi.heads import BoxPredictor
from detection.roi.roi_heads import RoIHeads
from detection.roi.roi_pool import RoIPool
from detection.roi.roi_stage import RoIConfig, RoIStage
from detection.roi.sampling import ProposalSampler
from swinv2 import BackboneConfig
from swinv2.imaging.normalize import check_num_classes


class CascadeMaskRCNN(RCNN):
    """Mask R-CNN whose boxes are refined by successive stages, each trained with a higher IoU threshold.

    All classes share one box. Scores are the mean of all stages, boxes those of the last, masks the mean of all mask
    heads.

    Args:
        backbone: the feature extractor.
        num_classes: number of classes without background; a recipe may leave it to the data or the checkpoint.
        fpn_channels: channels of the pyramid.
        rpn: anchors and number of proposals.
        roi: architecture and loss of the box and mask head of each stage.
        postprocess: score threshold, NMS and number of detections.
        iou_thresholds: IoU with an object from which a box counts as that object, 0 to 1, for each stage.
        loss_weights: factor of the losses of each stage.
        mask_heads: number of stages, from the first, that have a mask head: all in mmdetection, 1 in detectron2.

    Raises:
        ValueError: if `num_classes` is missing or not positive, the anchors do not fit the backbone maps, or there is
            not one threshold and one weight per stage.
    """

    def __init__(
        self,
        backbone: BackboneConfig,
        num_classes: int | None = None,
        fpn_channels: int = 256,
        rpn: RPNConfig = RPNConfig(),
        roi: RoIConfig = RoIConfig(),
        postprocess: Postprocess = Postprocess(),
        iou_thresholds: Sequence[float] = (0.5, 0.6, 0.7),
        loss_weights: Sequence[float] = (1.0, 0.5, 0.25),
        mask_heads: int = 3,
    ):
        classes = check_num_classes(num_classes)
        stages = cascade_stages(roi, fpn_channels, classes, iou_thresholds, loss_weights)
        if mask_heads not in range(1, len(stages) + 1):
            raise ValueError(
                f"mask_heads is a number from 1 to the {len(stages)} stages, got {mask_heads}; for a detector without "
                "masks set roi.masks to false."
            )
        for stage in stages[mask_heads:]:
            stage.mask_head = None
        features = backbone.build()
        fpn = FPN(features.channels, features.strides, fpn_channels)
        super().__init__(
            features,
            fpn,
            RPN(fpn_channels, fpn.strides, rpn),
            RoIHeads(RoIPool(features.strides, roi.sampling_ratio), stages, postprocess),
            classes,
        )


def cascade_stages(
    roi: RoIConfig,
    channels: int,
    num_classes: int,
    iou_thresholds: Sequence[float],
    loss_weights: Sequence[float],
    mask_flow: bool = False,
) -> list[RoIStage]:
    """Build the stages of a cascade; box offsets of the i-th weigh i times as much as those of the first.

    Args:
        roi: architecture and loss of each stage.
        channels: channels of the pyramid.
        num_classes: number of classes without background.
        iou_thresholds: IoU from which a box counts as an object, 0 to 1, for each stage.
        loss_weights: factor of the losses of each stage.
        mask_flow: whether each mask head takes the features of the one before as input.

    Raises:
        ValueError: if there are no stages, not one threshold and one weight for each, or a threshold beyond 0 to 1.
    """
    if len(iou_thresholds) != len(loss_weights) or not iou_thresholds or not all(0 < t < 1 for t in iou_thresholds):
        raise ValueError(
            "iou_thresholds and loss_weights need one number per stage, thresholds above 0 and below 1, got "
            f"{list(iou_thresholds)} and {list(loss_weights)}; use e.g. [0.5, 0.6, 0.7] and [1, 0.5, 0.25]."
        )
    return [
        RoIStage(
            roi.build_box_head(channels),
            BoxPredictor(roi.box_head_dim, num_classes, class_agnostic=True),
            roi.build_mask_head(channels, num_classes, takes_flow=mask_flow and i > 1),
            ProposalSampler(num_classes, threshold, roi.samples),
            (10.0 * i, 10.0 * i, 5.0 * i, 5.0 * i),
            weight,
            roi.smooth_l1_beta,
            roi.box_loss,
        )
        for i, (threshold, weight) in enumerate(zip(iou_thresholds, loss_weights, strict=True), start=1)
    ]
