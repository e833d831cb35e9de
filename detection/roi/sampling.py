"""Sampling of proposals for the losses of a stage, and their targets (Faster R-CNN, arXiv:1506.01497, sec. 3.1.3)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler
from torchvision.ops import box_iou


@dataclass(frozen=True)
class Samples:
    """Sampled proposals of one image, with their targets.

    Args:
        boxes: sampled proposals, xyxy in pixels.
        labels: class of each, `num_classes` for background.
        objects: index of the object that overlaps each most; meaningless for background.
        object_boxes: box of that object; zeros for an image without objects.
    """

    boxes: Float[Tensor, "n 4"]
    labels: Int[Tensor, "n"]
    objects: Int[Tensor, "n"]
    object_boxes: Float[Tensor, "n 4"]

    def only(self, chosen: Bool[Tensor, "n"]) -> "Samples":
        """Subset of the samples."""
        return Samples(self.boxes[chosen], self.labels[chosen], self.objects[chosen], self.object_boxes[chosen])


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
        self.draw = BalancedPositiveNegativeSampler(samples, positive_fraction)

    @torch.no_grad()
    def __call__(self, proposals: Float[Tensor, "_ 4"], target: Mapping[str, Tensor]) -> Samples:
        """Sample proposals of one image; its ground-truth boxes are added to them."""
        boxes = torch.cat([proposals, target["boxes"]])
        # A dummy object without overlap, with a zero box and the background label: no special case for empty images.
        object_boxes = F.pad(target["boxes"], (0, 0, 0, 1))
        object_labels = F.pad(target["labels"], (0, 1), value=self.num_classes)
        overlaps = F.pad(box_iou(target["boxes"], boxes), (0, 0, 0, 1))  # (objects + 1, proposals)
        overlap, objects = overlaps.max(dim=0)
        labels = torch.where(overlap >= self.iou_threshold, object_labels[objects], self.num_classes)
        positive, negative = self.draw([(labels < self.num_classes).long()])
        chosen = torch.where(positive[0] | negative[0])[0]
        return Samples(boxes[chosen], labels[chosen], objects[chosen], object_boxes[objects[chosen]])
