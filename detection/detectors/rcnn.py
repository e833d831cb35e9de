"""The two-stage detector: features, pyramid, proposals, RoI heads."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from detection.detectors.detector import Detector
from detection.detectors.fpn import FPN
from detection.detectors.rpn import RPN
from detection.detectors.semantic import SemanticBranch
from detection.detectors.targets import check_targets
from detection.roi.roi_heads import RoIHeads, Sizes
from detection.roi.roi_pool import Pyramid
from swinv2.imaging.normalize import check_images, normalize


class RCNN(Detector):
    """A detector from its parts, which Mask R-CNN and its successors choose.

    No image is ever padded: images of one size run through backbone, pyramid and RPN together, those of other sizes
    apart, and what is found in an image never depends on its neighbours in the batch. The RoI heads take the boxes of
    all images at once, each with the maps of its own image.

    The losses are those of the whole batch: those of the RPN are the mean over its images (which all have the same
    number of sampled anchors but for the smallest images), those of the RoI heads the mean over its samples, that of
    the semantic branch the mean over the known places of the images of one size, and then over the images.

    Args:
        backbone: images (B, 3, H, W) to a list of feature maps, finest first.
        fpn: those maps to the pyramid.
        rpn: pyramid to proposals.
        roi_heads: pyramid and proposals to detections.
        num_classes: number of classes without background.
        semantic: pyramid to a map of what is everywhere, if the detector has that.
    """

    def __init__(
        self,
        backbone: nn.Module,
        fpn: FPN,
        rpn: RPN,
        roi_heads: RoIHeads,
        num_classes: int,
        semantic: SemanticBranch | None = None,
    ):
        super().__init__(num_classes, roi_heads.has_masks, semantic.num_classes if semantic else 0)
        self.backbone = backbone
        self.fpn = fpn
        self.rpn = rpn
        self.roi_heads = roi_heads
        self.semantic = semantic

    def forward(
        self, images: Sequence[Shaped[Tensor, "..."]], targets: Sequence[Mapping[str, Any]] | None = None
    ) -> dict[str, Float[Tensor, ""]] | list[dict[str, Tensor]]:
        """In training the losses by name, in evaluation the detections of each image; see `Detector`.

        The losses are `loss_objectness`, `loss_rpn_box`, `loss_classifier`, `loss_box`, with masks `loss_mask`, and
        with a semantic branch `loss_semantic`.
        """
        check_images(images)
        sizes = [(image.shape[1], image.shape[2]) for image in images]
        if not self.training:
            pyramids, proposals, _ = self.propose(images, sizes, None)
            return self.roi_heads.detect(pyramids, proposals, sizes)
        checked = check_targets(images, targets, self.num_classes, self.has_masks, self.semantic_classes)
        pyramids, proposals, losses = self.propose(images, sizes, checked)
        return losses | self.roi_heads.losses(pyramids, proposals, sizes, checked)

    def propose(
        self, images: Sequence[Shaped[Tensor, "3 _ _"]], sizes: Sizes, targets: Sequence[Mapping[str, Tensor]] | None
    ) -> tuple[list[Pyramid], list[Float[Tensor, "_ 4"]], dict[str, Float[Tensor, ""]]]:
        """Pyramids of the images of each size, proposals of each image, and in training the losses so far."""
        pyramids: list[Pyramid] = []
        proposals: dict[int, Tensor] = {}
        losses: dict[str, Tensor] = {}
        for size in dict.fromkeys(sizes):
            group = [i for i, other in enumerate(sizes) if other == size]
            dtype = next(self.parameters()).dtype
            features = self.fpn(self.backbone(torch.stack([normalize(images[i], dtype) for i in group])))
            group_targets = None if targets is None else [targets[i] for i in group]
            boxes, group_losses = self.rpn(features, size, group_targets)
            semantic, semantic_losses = self.look_around(features, group_targets)
            group_losses |= semantic_losses
            pyramids.append(Pyramid(group, features, semantic))
            proposals.update(zip(group, boxes, strict=True))
            for name, loss in group_losses.items():
                losses[name] = losses.get(name, 0) + loss * (len(group) / len(images))
        return pyramids, [proposals[i] for i in range(len(images))], losses

    def look_around(
        self, maps: Sequence[Float[Tensor, "b c _ _"]], targets: Sequence[Mapping[str, Tensor]] | None
    ) -> tuple[Float[Tensor, "b c _ _"] | None, dict[str, Float[Tensor, ""]]]:
        """What the semantic branch, if there is one, adds to the pyramid, and in training its loss."""
        if self.semantic is None:
            return None, {}
        features, logits = self.semantic(maps)
        if targets is None:
            return features, {}
        return features, {"loss_semantic": self.semantic.loss(logits, [t["semantic"] for t in targets])}
