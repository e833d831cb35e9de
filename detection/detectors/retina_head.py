"""Heads of RetinaNet (arXiv:1708.02002) whose losses wait for no GPU."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import sigmoid_focal_loss

from detection.detectors.box_coder import BoxCoder


class SteadyRetinaNetHead(RetinaNetHead):
    """torchvision's heads of classes and offsets, with the same losses but for the order in which they are summed.

    torchvision selects the anchors that count, whose number a GPU is waited for; here the others count nothing.
    """

    coder = BoxCoder((1.0, 1.0, 1.0, 1.0))

    def compute_loss(
        self,
        targets: Sequence[Mapping[str, Tensor]],
        head_outputs: Mapping[str, Tensor],
        anchors: Sequence[Float[Tensor, "n 4"]],
        matched_idxs: Sequence[Int[Tensor, " n"]],
    ) -> dict[str, Float[Tensor, ""]]:
        """Focal loss of the classes and L1 loss of the offsets: means over the images.

        Args:
            targets: `boxes` and `labels` of each image.
            head_outputs: `cls_logits` (b, n, k) and `bbox_regression` (b, n, 4).
            anchors: of each image.
            matched_idxs: object of each anchor, below 0 for none.
        """
        outputs = head_outputs["cls_logits"], head_outputs["bbox_regression"]
        losses = [self.image_losses(*given) for given in zip(targets, *outputs, anchors, matched_idxs, strict=True)]
        classification, regression = torch.stack(losses).mean(dim=0)
        return {"classification": classification, "bbox_regression": regression}

    def image_losses(
        self,
        target: Mapping[str, Tensor],
        logits: Float[Tensor, "n k"],
        offsets: Float[Tensor, "n 4"],
        anchors: Float[Tensor, "n 4"],
        matched: Int[Tensor, " n"],
    ) -> Float[Tensor, "2"]:
        """Both losses of an image, divided by the number of anchors with an object."""
        is_object, known = (matched >= 0)[:, None], (matched != Matcher.BETWEEN_THRESHOLDS)[:, None]
        places = matched.clamp(min=0)
        labels = F.pad(target["labels"], (0, 1))[places]  # the last, of no object, for images without objects
        classes = torch.arange(logits.shape[1], device=logits.device)
        truth = ((labels[:, None] == classes) & is_object).to(logits.dtype)
        boxes = torch.where(is_object, F.pad(target["boxes"], (0, 0, 0, 1))[places], anchors)
        distance = (offsets - self.coder.encode_single(boxes, anchors)).abs()
        sums = [(sigmoid_focal_loss(logits, truth) * known).sum(), (distance * is_object).sum()]
        return torch.stack(sums) / is_object.sum().clamp(min=1)
