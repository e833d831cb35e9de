"""Mask R-CNN (arXiv:1703.06870) on a feature pyramid."""

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


class MaskRCNN(RCNN):
    """Mask R-CNN with the settings of R50-FPN in torchvision and detectron2; without masks it is Faster R-CNN.

    Args:
        backbone: the feature extractor.
        num_classes: number of classes without background; a recipe may leave it to the data or the checkpoint.
        fpn_channels: channels of the pyramid.
        rpn: anchors and number of proposals.
        roi: architecture and loss of the box and mask head.
        postprocess: score threshold, NMS and number of detections.

    Raises:
        ValueError: if `num_classes` is missing or not positive, or the anchors do not fit the backbone maps.
    """

    def __init__(
        self,
        backbone: BackboneConfig,
        num_classes: int | None = None,
        fpn_channels: int = 256,
        rpn: RPNConfig = RPNConfig(),
        roi: RoIConfig = RoIConfig(),
        postprocess: Postprocess = Postprocess(),
    ):
        classes = check_num_classes(num_classes)
        features = backbone.build()
        fpn = FPN(features.channels, features.strides, fpn_channels)
        stage = RoIStage(
            roi.build_box_head(fpn_channels),
            BoxPredictor(roi.box_head_dim, classes),
            roi.build_mask_head(fpn_channels, classes),
            ProposalSampler(classes, samples=roi.samples),
            smooth_l1_beta=roi.smooth_l1_beta,
            box_loss=roi.box_loss,
        )
        super().__init__(
            features,
            fpn,
            RPN(fpn_channels, fpn.strides, rpn),
            RoIHeads(RoIPool(features.strides, roi.sampling_ratio), [stage], postprocess),
            classes,
        )
