"""torchvision's detectors of boxes on a SwinV2 backbone, with the interface of `Detector`."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torchvision.models import detection as torchvision_detection
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms.v2 import functional as TF

from detection.detectors.balanced_sampling import draw_balanced
from detection.detectors.box_coder import BoxCoder
from detection.detectors.detector import Detector
from detection.detectors.retina_head import SteadyRetinaNetHead
from detection.detectors.rpn import ASPECT_RATIOS, AnchorMatcher, SteadyRPN
from detection.detectors.targets import check_targets
from swinv2 import BackboneConfig, as_torchvision_backbone
from swinv2.imaging.normalize import IMAGENET_MEAN, IMAGENET_STD, check_images, check_num_classes, normalize

LOSSES = {
    "classification": "loss_classifier",
    "bbox_regression": "loss_box",
    "loss_box_reg": "loss_box",
    "loss_rpn_box_reg": "loss_rpn_box",
}


class KeptSize(GeneralizedRCNNTransform):
    """torchvision's transform without its resizing: normalise images and pad them to one size."""

    def __init__(self) -> None:
        super().__init__(0, 0, list(IMAGENET_MEAN), list(IMAGENET_STD))

    def resize(
        self, image: Float[Tensor, "3 h w"], target: dict[str, Tensor] | None = None
    ) -> tuple[Float[Tensor, "3 h w"], dict[str, Tensor] | None]:
        """Image and target, unchanged."""
        return image, target

    def normalize(self, image: Float[Tensor, "3 h w"]) -> Float[Tensor, "3 h w"]:
        """Image normalised by ImageNet's mean and standard deviation."""
        return normalize(image, image.dtype)


class SteadySampler(BalancedPositiveNegativeSampler):
    """torchvision's sampler with the same results, waiting for a GPU once, whatever the images."""

    def __call__(self, matched_idxs: Sequence[Int[Tensor, "_"]]) -> tuple[list[Tensor], list[Tensor]]:
        """Masks of the sampled positives and negatives of each image."""
        drawn = draw_balanced(matched_idxs, self.batch_size_per_image, self.positive_fraction)
        masks: tuple[list[Tensor], list[Tensor]] = [], []
        for one, kinds in zip(drawn, matched_idxs, strict=True):
            for side, chosen in zip(masks, one, strict=True):
                side.append(torch.zeros_like(kinds, dtype=torch.uint8).index_fill_(0, chosen, 1))
        return masks


class TorchvisionDetector(Detector):
    """Wrapper of a torchvision detector with the images, targets, losses and detections of `Detector`.

    As in torchvision, the images of a batch are padded with zeros to the largest, in multiples of 32, so that the
    detections of an image depend a little on the rest of the batch. Images keep their scale. The heads' outputs are
    cast to float32, also in mixed precision.

    Args:
        detector: detector of torchvision.
        heads: its output layers, for scores and offsets.
        num_classes: number of classes without background.
        first_label: the detector's label of our class 0: 1 if its label 0 is background, else 0.
    """

    def __init__(self, detector: nn.Module, heads: Sequence[nn.Module], num_classes: int, first_label: int):
        super().__init__(num_classes, has_masks=False)
        self.detector = detector
        self.detector.transform = KeptSize()
        self.first_label = first_label
        for head in heads:
            head.register_forward_hook(in_float32)

    @property
    def heads(self) -> list[nn.Module]:
        """Pyramid, and head of the RPN or of the detector."""
        detector: Any = self.detector
        return [detector.backbone.fpn, detector.rpn.head if hasattr(detector, "rpn") else detector.head]

    def forward(
        self, images: Sequence[Shaped[Tensor, "..."]], targets: Sequence[Mapping[str, Any]] | None = None
    ) -> dict[str, Float[Tensor, ""]] | list[dict[str, Tensor]]:
        """Compute losses by name in training, detections of each image in evaluation; see `Detector`.

        The losses are `loss_classifier`, `loss_box` and, with an RPN, `loss_objectness` and `loss_rpn_box`.
        """
        check_images(images)
        dtype = next(self.parameters()).dtype
        scaled = [TF.to_dtype(image.as_subclass(Tensor), dtype, scale=True) for image in images]
        if not self.training:
            return [found | {"labels": found["labels"] - self.first_label} for found in self.detector(scaled)]
        checked = check_targets(images, targets, self.num_classes, with_masks=False)
        wanted = [target | {"labels": target["labels"] + self.first_label} for target in checked]
        return {LOSSES.get(name, name): loss for name, loss in self.detector(scaled, wanted).items()}


class FasterRCNN(TorchvisionDetector):
    """torchvision's Faster R-CNN (arXiv:1506.01497) with a feature pyramid.

    `MaskRCNN` with `roi: {masks: false}` is a Faster R-CNN too: it pads no image, places anchors and pools boxes as
    detectron2 does, and shares weights with the other detectors here; this one shares them with torchvision's.

    Args:
        backbone: the feature extractor.
        num_classes: number of classes without background; a recipe may leave it to the data or the checkpoint.
        fpn_channels: channels of the pyramid.
        anchor_sizes: square root of the anchor area in pixels, one for each backbone map and one more.
        score_threshold: lowest score of a detection, 0 to 1.
        nms_threshold: IoU, 0 to 1, above which the lower-scored of two detections of a class is dropped.
        detections_per_image: greatest number of detections per image.

    Raises:
        ValueError: if `num_classes` is missing or not positive, or `anchor_sizes` do not fit the backbone maps.
    """

    def __init__(
        self,
        backbone: BackboneConfig,
        num_classes: int | None = None,
        fpn_channels: int = 256,
        anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512),
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        detections_per_image: int = 100,
    ):
        classes = check_num_classes(num_classes)
        features = as_torchvision_backbone(backbone.build(), fpn_channels)
        detector = torchvision_detection.FasterRCNN(
            features,
            classes + 1,
            rpn_anchor_generator=anchors([(size,) for size in anchor_sizes], len(features.body.channels) + 1),
            box_score_thresh=score_threshold,
            box_nms_thresh=nms_threshold,
            box_detections_per_img=detections_per_image,
        )
        rpn, roi = detector.rpn, detector.roi_heads
        numbers = rpn._pre_nms_top_n, rpn._post_nms_top_n, rpn.nms_thresh
        detector.rpn = SteadyRPN(rpn.anchor_generator, rpn.head, 0.7, 0.3, 256, 0.5, *numbers)
        roi.fg_bg_sampler = SteadySampler(512, 0.25)
        roi.box_coder = BoxCoder(roi.box_coder.weights)
        rpn, box = detector.rpn.head, detector.roi_heads.box_predictor
        super().__init__(
            detector, [rpn.cls_logits, rpn.bbox_pred, box.cls_score, box.bbox_pred], classes, first_label=1
        )


class RetinaNet(TorchvisionDetector):
    """torchvision's RetinaNet (arXiv:1708.02002): a one-stage detector with focal loss.

    Args:
        backbone: the feature extractor; the paper's pyramid takes the maps of strides 8 to 32, `out_indices` (1, 2, 3).
        num_classes: number of classes; a recipe may leave it to the data or the checkpoint.
        fpn_channels: channels of the pyramid.
        anchor_sizes: square root of the area of the smallest of three anchors in pixels, one for each backbone map and
            two more.
        score_threshold: lowest score of a detection, 0 to 1.
        nms_threshold: IoU, 0 to 1, above which the lower-scored of two detections of a class is dropped.
        detections_per_image: greatest number of detections per image.

    Raises:
        ValueError: if `num_classes` is missing or not positive, or `anchor_sizes` do not fit the backbone maps.
    """

    def __init__(
        self,
        backbone: BackboneConfig,
        num_classes: int | None = None,
        fpn_channels: int = 256,
        anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512),
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        detections_per_image: int = 100,
    ):
        classes = check_num_classes(num_classes)
        features = as_torchvision_backbone(backbone.build(), fpn_channels, "p6p7")
        octaves = [tuple(int(size * 2 ** (i / 3)) for i in range(3)) for size in anchor_sizes]
        generator = anchors(octaves, len(features.body.channels) + 2)
        detector = torchvision_detection.RetinaNet(
            features,
            classes,
            anchor_generator=generator,
            head=SteadyRetinaNetHead(features.out_channels, generator.num_anchors_per_location()[0], classes),
            proposal_matcher=AnchorMatcher(0.5, 0.4, allow_low_quality_matches=True),
            score_thresh=score_threshold,
            nms_thresh=nms_threshold,
            detections_per_img=detections_per_image,
        )
        heads = [detector.head.classification_head, detector.head.regression_head]
        super().__init__(detector, heads, classes, first_label=0)


def anchors(sizes: Sequence[tuple[int, ...]], levels: int) -> AnchorGenerator:
    """Anchor generator of the given sizes at each level, each at three aspect ratios.

    Raises:
        ValueError: there is not one entry of sizes per level.
    """
    if len(sizes) != levels:
        raise ValueError(
            f"anchor_sizes needs one size per pyramid level, got {[s[0] for s in sizes]} for {levels} levels; the "
            "backbone's out_indices set the number of levels, above which the pyramid adds its own."
        )
    return AnchorGenerator(tuple(sizes), (ASPECT_RATIOS,) * levels)


def in_float32(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    """Forward hook that casts a layer's output to float32."""
    return output.float()
