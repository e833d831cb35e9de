"""RoI heads: stages that refine the boxes one after the other (one: Mask R-CNN; several: Cascade, arXiv:1712.00726)."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from detection.postprocess import Postprocess
from detection.roi_pool import Pyramid
from detection.roi_stage import RoIStage

Boxes = Sequence[Float[Tensor, "_ 4"]]  # of each image, xyxy in pixels
Sizes = Sequence[tuple[int, int]]  # height and width of each image in pixels


class RoIHeads(nn.Module):
    """Each stage looks at the boxes that the one before it found; the first at the proposals of the RPN.

    In training every stage matches and samples its boxes anew. In evaluation the scores are the mean of all stages, the
    boxes those of the last one, and the masks the mean of all stages that have a mask head.

    Args:
        stages: the stages in order.
        postprocess: selects the detections of one image.
    """

    def __init__(self, stages: Sequence[RoIStage], postprocess: Postprocess):
        super().__init__()
        self.stages = cast("Sequence[RoIStage]", nn.ModuleList(stages))
        self.postprocess = postprocess

    @property
    def has_masks(self) -> bool:
        """Whether any stage predicts masks."""
        return any(stage.mask_head is not None for stage in self.stages)

    def losses(
        self, pyramids: Sequence[Pyramid], boxes: Boxes, sizes: Sizes, targets: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, Float[Tensor, ""]]:
        """`loss_classifier`, `loss_box` and, with masks, `loss_mask`: weighted sums over the stages.

        Args:
            pyramids: feature maps of the images of each size.
            boxes: proposals of each image.
            sizes: height and width of each image.
            targets: `boxes`, `labels` and, with masks, `masks` of each image.
        """
        losses: dict[str, Tensor] = {}
        for stage in self.stages:
            samples = [stage.sampler(b, t) for b, t in zip(boxes, targets, strict=True)]
            boxes = [s.boxes for s in samples]
            logits, offsets = stage(pyramids, boxes)
            found = stage.box_losses(logits, offsets, samples) | stage.mask_loss(pyramids, samples, targets)
            for name, loss in found.items():
                losses[name] = losses.get(name, 0) + stage.loss_weight * loss
            boxes = likeliest(stage.decode(offsets, boxes, sizes), logits)
        return losses

    def detect(self, pyramids: Sequence[Pyramid], boxes: Boxes, sizes: Sizes) -> list[dict[str, Tensor]]:
        """`boxes`, `scores`, `labels` and, with masks, `masks` of the detections of each image, best first.

        Args:
            pyramids: feature maps of the images of each size.
            boxes: proposals of each image.
            sizes: height and width of each image.
        """
        scores = []
        for stage in self.stages:
            logits, offsets = stage(pyramids, boxes)
            scores.append(logits.softmax(dim=1))
            class_boxes = stage.decode(offsets, boxes, sizes)
            boxes = likeliest(class_boxes, logits)
        mean = torch.stack(scores).mean(dim=0).split([len(b) for b in boxes])
        detections = [self.postprocess(b, s) for b, s in zip(class_boxes, mean, strict=True)]
        if self.has_masks:
            self.add_masks(pyramids, detections)
        return detections

    def add_masks(self, pyramids: Sequence[Pyramid], detections: Sequence[dict[str, Tensor]]) -> None:
        """Writes `masks` into the detections: probabilities within each box."""
        boxes = [d["boxes"] for d in detections]
        labels = torch.cat([d["labels"] for d in detections])
        masks = [stage.masks(pyramids, boxes, labels).sigmoid() for stage in self.stages if stage.mask_head is not None]
        per_image = torch.stack(masks).mean(dim=0).split([len(b) for b in boxes])
        for detection, mask in zip(detections, per_image, strict=True):
            detection["masks"] = mask


def likeliest(class_boxes: Sequence[Float[Tensor, "_ k 4"]], logits: Float[Tensor, "n k_and_1"]) -> list[Tensor]:
    """The box of the likeliest class other than background, for each proposal of each image."""
    labels = logits[:, :-1].argmax(dim=1).split([len(b) for b in class_boxes])
    return [b[torch.arange(len(b), device=b.device), label] for b, label in zip(class_boxes, labels, strict=True)]
