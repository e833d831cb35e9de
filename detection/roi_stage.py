"""One stage of the RoI heads: a look at each box that says what it is, where exactly, and with which mask."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import clip_boxes_to_image, roi_align

from detection.heads import BoxHead, BoxPredictor, MaskHead
from detection.roi_pool import Pyramid, RoIPool
from detection.sampling import ProposalSampler, Samples


class RoIStage(nn.Module):
    """Box head, mask head if any, and what the stage counts as an object.

    Args:
        pool: cuts boxes out of the pyramid.
        box_head: pooled features to one vector per box.
        box_predictor: that vector to class logits and box offsets.
        mask_head: pooled features to mask logits; None for boxes only.
        sampler: matches proposals with objects and draws those to learn from.
        box_weights: factors of the offsets in x, y, width and height; later stages of a cascade take larger ones.
        loss_weight: factor of the losses of this stage.
        smooth_l1_beta: error of an offset below which its loss is squared; 0 is the L1 loss of detectron2 and mmdet.
    """

    def __init__(
        self,
        pool: RoIPool,
        box_head: BoxHead,
        box_predictor: BoxPredictor,
        mask_head: MaskHead | None,
        sampler: ProposalSampler,
        box_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0),
        loss_weight: float = 1.0,
        smooth_l1_beta: float = 0.0,
    ):
        super().__init__()
        self.pool = pool
        self.box_head = box_head
        self.box_predictor = box_predictor
        self.mask_head = mask_head
        self.sampler = sampler
        self.box_coder = BoxCoder(box_weights)
        self.loss_weight = loss_weight
        self.smooth_l1_beta = smooth_l1_beta

    def forward(
        self, pyramids: Sequence[Pyramid], boxes: Sequence[Float[Tensor, "_ 4"]]
    ) -> tuple[Float[Tensor, "n k_and_1"], Float[Tensor, "n k 4"]]:
        """Class logits and box offsets of the boxes of all images in turn."""
        return self.box_predictor(self.box_head(self.pool(pyramids, boxes, self.box_head.pool_size)))

    @torch.no_grad()
    def decode(
        self,
        offsets: Float[Tensor, "n k 4"],
        boxes: Sequence[Float[Tensor, "_ 4"]],
        sizes: Sequence[tuple[int, int]],
    ) -> list[Float[Tensor, "_ k 4"]]:
        """The refined box of every class, for each image and within it."""
        refined = self.box_coder.decode_single(offsets.flatten(1), torch.cat(list(boxes))).view_as(offsets)
        per_image = refined.split([len(b) for b in boxes])
        return [clip_boxes_to_image(b, size) for b, size in zip(per_image, sizes, strict=True)]

    def masks(
        self, pyramids: Sequence[Pyramid], boxes: Sequence[Float[Tensor, "_ 4"]], labels: Int[Tensor, "n"]
    ) -> Float[Tensor, "n t t"]:
        """Mask logits of the boxes of all images in turn, each for its own class."""
        assert self.mask_head is not None
        logits = self.mask_head(self.pool(pyramids, boxes, self.mask_head.pool_size))
        return logits[torch.arange(len(labels), device=labels.device), labels]

    def box_losses(
        self, logits: Float[Tensor, "n k_and_1"], offsets: Float[Tensor, "n k 4"], samples: Sequence[Samples]
    ) -> dict[str, Float[Tensor, ""]]:
        """Cross-entropy of the classes, smooth L1 of the objects' offsets; both per sample of the batch."""
        labels = torch.cat([s.labels for s in samples])
        positive = torch.where(labels < self.sampler.num_classes)[0]
        boxes = torch.cat([s.boxes for s in samples])[positive]
        object_boxes = torch.cat([s.object_boxes for s in samples])[positive]
        wanted = self.box_coder.encode_single(object_boxes, boxes)
        found = offsets[positive, labels[positive]]
        count = max(len(labels), 1)
        return {
            "loss_classifier": F.cross_entropy(logits, labels, reduction="sum") / count,
            "loss_box": F.smooth_l1_loss(found, wanted, beta=self.smooth_l1_beta, reduction="sum") / count,
        }

    def mask_loss(
        self, pyramids: Sequence[Pyramid], samples: Sequence[Samples], targets: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, Float[Tensor, ""]]:
        """Binary cross-entropy of the masks of the sampled objects; nothing without a mask head."""
        if self.mask_head is None:
            return {}
        positive = [torch.where(s.labels < self.sampler.num_classes)[0] for s in samples]
        boxes = [s.boxes[p] for s, p in zip(samples, positive, strict=True)]
        labels = torch.cat([s.labels[p] for s, p in zip(samples, positive, strict=True)])
        objects = [s.objects[p] for s, p in zip(samples, positive, strict=True)]
        logits = self.masks(pyramids, boxes, labels)
        wanted = [
            crop_masks(t["masks"], o, b, logits.shape[-1]) for t, o, b in zip(targets, objects, boxes, strict=True)
        ]
        loss = F.binary_cross_entropy_with_logits(logits, torch.cat(wanted), reduction="sum")
        return {"loss_mask": loss / max(logits.numel(), 1)}


@torch.no_grad()
def crop_masks(
    masks: Shaped[Tensor, "m h w"], objects: Int[Tensor, "n"], boxes: Float[Tensor, "n 4"], size: int
) -> Float[Tensor, "n {size} {size}"]:
    """The part of an object's mask within each box, as `size` x `size` zeros and ones.

    Args:
        masks: masks of the objects of one image.
        objects: index of the object of each box.
        boxes: xyxy in pixels.
        size: pixels per side of the result.
    """
    used, index = objects.unique(return_inverse=True)  # only these become float
    rois = torch.cat([index[:, None].to(boxes), boxes], dim=1)
    crops = roi_align(masks[used, None].to(boxes), rois, size, aligned=True)  # (n, 1, size, size)
    return (crops[:, 0] >= 0.5).to(boxes)
