"""Stage of the RoI heads: class, refined box and mask of each box, and their losses."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image, generalized_box_iou_loss, roi_align

from detection.detectors.box_coder import BoxCoder
from detection.roi.heads import BoxHead, BoxPredictor, ConvBoxHead, MaskHead
from detection.roi.sampling import ProposalSampler, Samples

GIOU_WEIGHT = 10.0  # of the GIoU loss relative to L1, as in the authors' Swin V1 configs


@dataclass(frozen=True)
class RoIConfig:
    """Settings of every stage of the RoI heads: architecture, losses, sampling and pooling.

    Args:
        box_head: "2fc" for two fully connected layers, "4conv1fc" for four convolutions and one.
        box_head_dim: width of the fully connected layers.
        box_head_norm: norm after the convolutions: "batch", "group" or None.
        box_loss: "l1" on the offsets, or "giou" on the boxes (arXiv:1902.09630) with ten times the weight.
        smooth_l1_beta: with "l1", error of an offset below which its loss is quadratic; 0 for plain L1.
        masks: whether there are mask heads; false for data with boxes only.
        mask_head_dim: channels of the mask head.
        mask_head_convs: number of 3 x 3 convolutions of the mask head.
        samples: number of proposals per image in the losses.
        sampling_ratio: points per bin and axis in RoIAlign; 0 for as many as the bin has cells, 1 is fastest.

    Raises:
        ValueError: a norm without convolutions, no samples, or a negative number of points.
    """

    box_head: Literal["2fc", "4conv1fc"] = "2fc"
    box_head_dim: int = 1024
    box_head_norm: Literal["batch", "group"] | None = None
    box_loss: Literal["l1", "giou"] = "l1"
    smooth_l1_beta: float = 0.0
    masks: bool = True
    mask_head_dim: int = 256
    mask_head_convs: int = 4
    samples: int = 512
    sampling_ratio: int = 0

    def __post_init__(self) -> None:
        """Raise unless the numbers are in range and a norm has convolutions."""
        if self.samples < 1 or self.sampling_ratio < 0:
            raise ValueError(
                f"samples must be 1 or more and sampling_ratio 0 or more, got {self.samples} and {self.sampling_ratio}."
            )
        if self.box_head_norm is not None and self.box_head == "2fc":
            raise ValueError(
                f"box_head_norm {self.box_head_norm} is for convolutions; box_head 2fc has none: take 4conv1fc."
            )

    def build_box_head(self, channels: int) -> BoxHead | ConvBoxHead:
        """Build the box head for a pyramid of some channels."""
        if self.box_head == "2fc":
            return BoxHead(channels, self.box_head_dim)
        return ConvBoxHead(channels, self.box_head_dim, self.box_head_norm)

    def build_mask_head(self, channels: int, num_classes: int, takes_flow: bool = False) -> MaskHead | None:
        """Build the mask head; None without masks."""
        if not self.masks:
            return None
        return MaskHead(channels, num_classes, self.mask_head_dim, self.mask_head_convs, takes_flow=takes_flow)


class RoIStage(nn.Module):
    """Box head, mask head if any, sampler and losses of one stage.

    Args:
        box_head: pooled features to one vector per box.
        box_predictor: the vector to class logits and box offsets.
        mask_head: pooled features to mask logits; None for boxes only.
        sampler: matching of proposals with objects, and sampling of those in the loss.
        box_weights: factors of the offsets in x, y, width and height; larger in later stages of a cascade.
        loss_weight: factor of the losses of this stage.
        smooth_l1_beta: error of an offset below which its loss is quadratic; 0 is the L1 loss of detectron2 and mmdet.
        box_loss: "l1" on the offsets, or "giou" on the boxes.
    """

    def __init__(
        self,
        box_head: BoxHead | ConvBoxHead,
        box_predictor: BoxPredictor,
        mask_head: MaskHead | None,
        sampler: ProposalSampler,
        box_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0),
        loss_weight: float = 1.0,
        smooth_l1_beta: float = 0.0,
        box_loss: Literal["l1", "giou"] = "l1",
    ):
        super().__init__()
        self.box_head = box_head
        self.box_predictor = box_predictor
        self.mask_head = mask_head
        self.sampler = sampler
        self.box_coder = BoxCoder(box_weights)
        self.loss_weight = loss_weight
        self.smooth_l1_beta = smooth_l1_beta
        self.box_loss = box_loss

    def forward(self, pooled: Float[Tensor, "n c s s"]) -> tuple[Float[Tensor, "n k_and_1"], Float[Tensor, "n k 4"]]:
        """Class logits and box offsets of boxes pooled to `box_head.pool_size`."""
        return self.box_predictor(self.box_head(pooled))

    @torch.no_grad()
    def decode(
        self,
        offsets: Float[Tensor, "n k 4"],
        boxes: Sequence[Float[Tensor, "_ 4"]],
        sizes: Sequence[tuple[int, int]],
    ) -> list[Float[Tensor, "_ k 4"]]:
        """Refined box of every class, for each image, clipped to it."""
        refined = self.box_coder.decode_single(offsets.flatten(1), torch.cat(list(boxes))).view_as(offsets)
        per_image = refined.split([len(b) for b in boxes])
        return [clip_boxes_to_image(b, size) for b, size in zip(per_image, sizes, strict=True)]

    def box_losses(
        self, logits: Float[Tensor, "n k_and_1"], offsets: Float[Tensor, "n k 4"], samples: Sequence[Samples]
    ) -> dict[str, Float[Tensor, ""]]:
        """Cross-entropy of the classes and loss of the objects' boxes, both divided by the number of samples."""
        labels = torch.cat([s.labels for s in samples])
        starts = accumulate((len(s.labels) for s in samples), initial=0)
        positive = torch.cat([s.positive + start for s, start in zip(samples, starts, strict=False)])
        boxes = torch.cat([s.boxes for s in samples])[positive]
        object_boxes = torch.cat([s.object_boxes for s in samples])[positive]
        count = max(len(labels), 1)
        return {
            "loss_classifier": F.cross_entropy(logits, labels, reduction="sum") / count,
            "loss_box": self.distance(offsets[positive, labels[positive]], boxes, object_boxes) / count,
        }

    def distance(
        self, offsets: Float[Tensor, "m 4"], boxes: Float[Tensor, "m 4"], object_boxes: Float[Tensor, "m 4"]
    ) -> Float[Tensor, ""]:
        """Sum of the L1 or GIoU losses between boxes refined by offsets and their objects."""
        if self.box_loss == "giou":
            found = self.box_coder.decode_single(offsets, boxes).view_as(boxes)
            return GIOU_WEIGHT * generalized_box_iou_loss(found, object_boxes, reduction="sum")
        wanted = self.box_coder.encode_single(object_boxes, boxes)
        return F.smooth_l1_loss(offsets, wanted, beta=self.smooth_l1_beta, reduction="sum")


def mask_loss(
    logits: Float[Tensor, "n t t"], samples: Sequence[Samples], masks: Sequence[Shaped[Tensor, "_ _ _"]]
) -> Float[Tensor, ""]:
    """Binary cross-entropy of the masks of sampled objects.

    Args:
        logits: mask logits of the objects of all images, concatenated, each for its own class.
        samples: sampled objects of each image, without background.
        masks: masks of all objects of each image.
    """
    wanted = [crop_masks(m, s.objects, s.boxes, logits.shape[-1]) for m, s in zip(masks, samples, strict=True)]
    return F.binary_cross_entropy_with_logits(logits, torch.cat(wanted), reduction="sum") / max(logits.numel(), 1)


@torch.no_grad()
def crop_masks(
    masks: Shaped[Tensor, "m h w"], objects: Int[Tensor, "n"], boxes: Float[Tensor, "n 4"], size: int
) -> Float[Tensor, "n {size} {size}"]:
    """Part of the object's mask within each box, as `size` x `size` zeros and ones.

    Args:
        masks: masks of the objects of one image.
        objects: index of the object of each box.
        boxes: xyxy in pixels.
        size: pixels per side of the result.
    """
    if objects.device.type == "cpu":  # only the used masks become float; for their number a GPU would be waited for
        used, objects = objects.unique(return_inverse=True)
        masks = masks[used]
    rois = torch.cat([objects[:, None].to(boxes), boxes], dim=1)
    crops = roi_align(masks[:, None].to(boxes), rois, size, aligned=True)  # (n, 1, size, size)
    return (crops[:, 0] >= 0.5).to(boxes)
