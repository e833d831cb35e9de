"""Mask R-CNN (arXiv:1703.06870) on a feature pyramid."""

from collections.abc import Sequence

from detection.fpn import FPN
from detection.heads import BoxHead, BoxPredictor, MaskHead
from detection.postprocess import Postprocess
from detection.rcnn import RCNN
from detection.roi_heads import RoIHeads
from detection.roi_pool import RoIPool
from detection.roi_stage import RoIStage
from detection.rpn import RPN
from detection.sampling import ProposalSampler
from swinv2 import BackboneConfig


class MaskRCNN(RCNN):
    """Mask R-CNN with the settings of torchvision's and detectron2's R50-FPN.

    Args:
        backbone: the feature extractor.
        num_classes: number of classes without background; a recipe may leave it to the data or the checkpoint.
        fpn_channels: channels of the pyramid.
        box_head_dim: width of the two fully connected layers of the box head.
        mask_head_dim: channels of the mask head.
        mask_head_convs: number of 3 x 3 convolutions of the mask head.
        anchor_sizes: square root of the anchor area in pixels, one for each backbone map and one more.
        rpn_candidates: best-scored anchors of each level that enter NMS, in training and in evaluation.
        rpn_proposals: proposals per image after NMS.
        rpn_samples: anchors per image in the RPN's losses.
        roi_samples: proposals per image in the RoI heads' losses.
        score_threshold: lowest score of a detection, 0 to 1.
        nms_threshold: overlap, 0 to 1, above which the lower of two detections of a class is dropped.
        detections_per_image: largest number of detections.
        masks: whether there is a mask head; without one this is Faster R-CNN, for data that has boxes only.
        sampling_ratio: points per bin and axis in RoIAlign; 0 for as many as the bin has cells, 1 for the least work.

    Raises:
        ValueError: if `num_classes` is missing or not positive, or `anchor_sizes` do not fit the backbone maps.
    """

    def __init__(
        self,
        backbone: BackboneConfig,
        num_classes: int | None = None,
        fpn_channels: int = 256,
        box_head_dim: int = 1024,
        mask_head_dim: int = 256,
        mask_head_convs: int = 4,
        anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512),
        rpn_candidates: tuple[int, int] = (2000, 1000),
        rpn_proposals: int = 1000,
        rpn_samples: int = 256,
        roi_samples: int = 512,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        detections_per_image: int = 100,
        masks: bool = True,
        sampling_ratio: int = 0,
    ):
        if num_classes is None or num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}; background is not counted.")
        features = backbone.build()
        fpn = FPN(features.channels, features.strides, fpn_channels)
        stage = RoIStage(
            RoIPool(features.strides, sampling_ratio),
            BoxHead(fpn_channels, box_head_dim),
            BoxPredictor(box_head_dim, num_classes),
            MaskHead(fpn_channels, num_classes, mask_head_dim, mask_head_convs) if masks else None,
            ProposalSampler(num_classes, samples=roi_samples),
        )
        super().__init__(
            features,
            fpn,
            RPN(fpn_channels, fpn.strides, anchor_sizes, rpn_candidates, rpn_proposals, rpn_samples),
            RoIHeads([stage], Postprocess(score_threshold, nms_threshold, detections_per_image)),
            num_classes,
        )
