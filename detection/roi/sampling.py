"""Sampling of proposals for the losses of a stage, and their targets (Faster R-CNN, arXiv:1506.01497, sec. 3.1.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.ops import box_iou

from detection.detectors.balanced_sampling import draw_balanced


@dataclass(frozen=True)
class Samples:
    """Sampled proposals of one image, with their targets.

    Args:
        boxes: sampled proposals, xyxy in pixels.
        labels: class of each, `num_classes` for background.
        objects: index of the object that overlaps each most; meaningless for background.
        object_boxes: box of that object; zeros for an image without objects.
        positive: indices of the samples that are objects, ascending.
    """

    boxes: Float[Tensor, "n 4"]
    labels: Int[Tensor, "n"]
    objects: Int[Tensor, "n"]
    object_boxes: Float[Tensor, "n 4"]
    positive: Int[Tensor, "p"]

    def at(self, chosen: Int[Tensor, "m"], positive: Int[Tensor, "p"]) -> "Samples":
        """Samples at some indices, of which those at `positive` are objects."""
        boxes, object_boxes = self.boxes[chosen], self.object_boxes[chosen]
        return Samples(boxes, self.labels[chosen], self.objects[chosen], object_boxes, positive)

    def only_objects(self) -> "Samples":
        """Samples without those of background."""
        return self.at(self.positive, torch.arange(len(self.positive), device=self.positive.device))


class ProposalSampler:
    """Matching of proposals with objects by IoU, and a balanced random sample of them.

    Args:
        num_classes: number of classes without background, and the label of background.
        iou_threshold: IoU with an object, 0 to 1, from which a proposal counts as that object.
        samples: number of proposals per image.
        positive_fraction: greatest share of objects among them, 0 to 1.
    """

    def __init__(
        self, num_classes: int, iou_threshold: float = 0.5, samples: int = 512, positive_fraction: float = 0.25
    ):
        self.num_classes = num_classes
        self.iou_threshold = iou_threshold
        self.samples = samples
        self.positive_fraction = positive_fraction

    @torch.no_grad()
    def __call__(
        self, proposals: Sequence[Float[Tensor, "_ 4"]], targets: Sequence[Mapping[str, Tensor]]
    ) -> list[Samples]:
        """Sample proposals of each image; its ground-truth boxes are added to them."""
        matched = [self.match(*given) for given in zip(proposals, targets, strict=True)]
        kinds = [(each.labels < self.num_classes).long() for each in matched]
        drawn = draw_balanced(kinds, self.samples, self.positive_fraction)
        chosen = [torch.cat(each).sort().values for each in drawn]
        return [
            each.at(places, torch.searchsorted(places, one.positive))
            for each, places, one in zip(matched, chosen, drawn, strict=True)
        ]

    def match(self, proposals: Float[Tensor, "_ 4"], target: Mapping[str, Tensor]) -> Samples:
        """All proposals and ground-truth boxes of an image, with their targets."""
        boxes = torch.cat([proposals, target["boxes"]])
        # A dummy object without overlap, with a zero box and the background label: no special case for empty images.
        object_boxes = F.pad(target["boxes"], (0, 0, 0, 1))
        object_labels = F.pad(target["labels"], (0, 1), value=self.num_classes)
        overlaps = F.pad(box_iou(target["boxes"], boxes), (0, 0, 0, 1))  # (objects + 1, proposals)
        overlap, objects = overlaps.max(dim=0)
        labels = torch.where(overlap >= self.iou_threshold, object_labels[objects], self.num_classes)
        return Samples(boxes, labels, objects, object_boxes[objects], objects[:0])
