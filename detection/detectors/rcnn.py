"""Two-stage detector: backbone, pyramid, proposals, RoI heads."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torchvision.transforms.v2.functional import to_dtype

from detection.detectors.detector import Detector
from detection.detectors.fpn import FPN
from detection.detectors.rpn import RPN
from detection.detectors.semantic_branch import SemanticBranch
from detection.detectors.targets import check_targets
from detection.roi.roi_heads import RoIHeads, Sizes
from detection.roi.roi_pool import Pyramid
from swinv2.imaging.normalize import check_images, normalize


class RCNN(Detector):
    """Two-stage detector assembled from its parts: the base of Mask R-CNN and the cascades.

    No image is ever padded: images of equal size run through backbone, pyramid and RPN together, different sizes one
    after the other, and the detections of an image never depend on the rest of the batch. The RoI heads take the boxes
    of all images at once, each pooled from the maps of its own image.

    Losses are those of the whole batch. RPN: mean over the images (all but the smallest have the same number of sampled
    anchors). RoI heads: mean over the samples. Semantic branch: mean over the labelled positions of the images of equal
    size, then over the images.

    Args:
        backbone: images (B, 3, H, W) to a list of feature maps, finest first.
        fpn: feature maps to the pyramid.
        rpn: pyramid to proposals.
        roi_heads: pyramid and proposals to detections.
        num_classes: number of classes without background.
        semantic: pyramid to a semantic map; None for no semantic branch.
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

    @property
    def heads(self) -> list[nn.Module]:
        """Pyramid, head of the RPN, semantic branch if any, box heads and convolutions of the mask heads."""
        stages = self.roi_heads.stages
        masks = [stage.mask_head.convs for stage in stages if stage.mask_head is not None]
        semantic = [] if self.semantic is None else [self.semantic]
        return [self.fpn, self.rpn.head, *semantic, *(stage.box_head for stage in stages), *masks]

    def forward(
        self, images: Sequence[Shaped[Tensor, "..."]], targets: Sequence[Mapping[str, Any]] | None = None
    ) -> dict[str, Float[Tensor, ""]] | list[dict[str, Tensor]]:
        """Compute losses by name in training, detections of each image in evaluation; see `Detector`.

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
        """Pyramids of the images of each size, proposals of each image, and in training the losses up to here."""
        pyramids: list[Pyramid] = []
        proposals: dict[int, Tensor] = {}
        losses: dict[str, Tensor] = {}
        for size in dict.fromkeys(sizes):
            group = [i for i, other in enumerate(sizes) if other == size]
            dtype = next(self.parameters()).dtype
            pixels = torch.stack([to_dtype(images[i], dtype, scale=True) for i in group])
            features = self.fpn(self.backbone(normalize(pixels, dtype)))
            group_targets = None if targets is None else [targets[i] for i in group]
            boxes, group_losses = self.rpn(features, size, group_targets)
            semantic, semantic_losses = self.semantic_features(features, group_targets)
            group_losses |= semantic_losses
            pyramids.append(Pyramid(group, features, semantic))
            proposals.update(zip(group, boxes, strict=True))
            for name, loss in group_losses.items():
                losses[name] = losses.get(name, 0) + loss * (len(group) / len(images))
        return pyramids, [proposals[i] for i in range(len(images))], losses

    def semantic_features(
        self, maps: Sequence[Float[Tensor, "b c _ _"]], targets: Sequence[Mapping[str, Tensor]] | None
    ) -> tuple[Float[Tensor, "b c _ _"] | None, dict[str, Float[Tensor, ""]]]:
        """Features of the semantic branch for the RoI heads, None without a branch, and in training its loss."""
        if self.semantic is None:
            return None, {}
        features, logits = self.semantic(maps)
        if targets is None:
            return features, {}
        return features, {"loss_semantic": self.semantic.loss(logits, [t["semantic"] for t in targets])}
