"""Hybrid Task Cascade (arXiv:1901.07518), with the global attention layer of HTC++ (arXiv:2103.14030, A2.2)."""

from collections.abc import Sequence

from detection.detectors.cascade import cascade_stages
from detection.detectors.fpn import FPN
from detection.detectors.rcnn import RCNN
from detection.detectors.rpn import RPN, RPNConfig
from detection.detectors.semantic_branch import SemanticBranch
from detection.inference.postprocess import Postprocess
from detection.roi.roi_heads import RoIHeads
from detection.roi.roi_pool import RoIPool
from detection.roi.roi_stage import RoIConfig
from swinv2 import BackboneConfig
from swinv2.imaging.normalize import check_num_classes


class HybridTaskCascade(RCNN):
    """Cascade with interleaved box and mask heads, mask information flow and a semantic branch.

    Interleaved execution: the mask head of each stage learns from the boxes that this stage has refined. Mask
    information flow: it also takes the features of the mask head before it. Semantic branch: it segments things and
    stuff, and its features are added to those of every box.

    Args:
        backbone: the feature extractor.
        num_classes: number of classes without background; a recipe may leave it to the data or the checkpoint.
        fpn_channels: channels of the pyramid.
        rpn: anchors and number of proposals.
        roi: architecture and loss of the box and mask head of each stage; without masks (the Objects365 stage) only the
            cascade of boxes and the semantic branch, if any, remain.
        postprocess: score threshold, NMS and number of detections.
        iou_thresholds: IoU with an object from which a box counts as that object, 0 to 1, for each stage.
        loss_weights: factor of the losses of each stage.
        semantic_classes: number of classes of the semantic maps, 183 for COCO-stuff; 0 for no semantic branch.
        semantic_loss_weight: factor of the semantic branch's loss.
        global_attention_heads: heads of the attention over the whole last map that HTC++ adds, with the backbone's
            `drop_path_rate`; 0 for none.

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
        semantic_classes: int = 0,
        semantic_loss_weight: float = 0.2,
        global_attention_heads: int = 0,
    ):
        classes = check_num_classes(num_classes)
        stages = cascade_stages(roi, fpn_channels, classes, iou_thresholds, loss_weights, mask_flow=True)
        features = backbone.build()
        attention = global_attention_heads, backbone.drop_path_rate
        fpn = FPN(features.channels, features.strides, fpn_channels, *attention)
        semantic = None
        if semantic_classes:
            semantic = SemanticBranch(fpn_channels, len(fpn.strides), semantic_classes, semantic_loss_weight)
        super().__init__(
            features,
            fpn,
            RPN(fpn_channels, fpn.strides, rpn),
            RoIHeads(RoIPool(features.strides, roi.sampling_ratio), stages, postprocess, interleaved=True),
            classes,
            semantic,
        )
