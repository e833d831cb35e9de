"""RoI heads: successive stages that refine boxes (one: Mask R-CNN; several: Cascade R-CNN, arXiv:1712.00726)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from detection.inference.postprocess import Postprocess
from detection.roi.roi_pool import Pyramid, RoIPool
from detection.roi.roi_stage import RoIStage, mask_loss
from detection.roi.sampling import Samples

Boxes = Sequence[Float[Tensor, "_ 4"]]  # boxes of each image, xyxy in pixels
Sizes = Sequence[tuple[int, int]]  # height and width of each image in pixels
Targets = Sequence[Mapping[str, Tensor]]


class RoIHeads(nn.Module):
    """Successive stages, each on the boxes refined by the one before, the first on the RPN's proposals.

    In training every stage matches and samples its boxes anew. In evaluation scores are the mean of all stages, boxes
    those of the last, and masks the mean of all stages that have a mask head.

    Args:
        pool: RoIAlign on the pyramid.
        stages: stages in order.
        postprocess: selection of the detections of one image.
        interleaved: whether the mask head of a stage learns from the boxes that its box head has refined, instead of
            those that its box head took (Hybrid Task Cascade, arXiv:1901.07518, eq. 2).
    """

    def __init__(self, pool: RoIPool, stages: Sequence[RoIStage], postprocess: Postprocess, interleaved: bool = False):
        super().__init__()
        self.pool = pool
        self.stages = cast("Sequence[RoIStage]", nn.ModuleList(stages))
        self.postprocess = postprocess
        self.interleaved = interleaved

    @property
    def has_masks(self) -> bool:
        """Whether any stage predicts masks."""
        return any(stage.mask_head is not None for stage in self.stages)

    def losses(self, pyramids: Sequence[Pyramid], boxes: Boxes, sizes: Sizes, targets: Targets) -> dict[str, Tensor]:
        """`loss_classifier`, `loss_box` and, with masks, `loss_mask`: scalars, weighted sums over the stages.

        Args:
            pyramids: feature maps of the images of each size.
            boxes: proposals of each image.
            sizes: height and width of each image.
            targets: `boxes`, `labels` and, with masks, `masks` of each image.
        """
        losses: dict[str, Tensor] = {}
        for i, stage in enumerate(self.stages):
            samples = stage.sampler(boxes, targets)
            sampled = [s.boxes for s in samples]
            logits, offsets = stage(self.pool(pyramids, sampled, stage.box_head.pool_size))
            boxes = likeliest(stage.decode(offsets, sampled, sizes), logits)
            found = stage.box_losses(logits, offsets, samples)
            if stage.mask_head is not None:
                if self.interleaved:
                    samples = stage.sampler(boxes, targets)
                found["loss_mask"] = self.mask_loss(i, pyramids, samples, targets)
            for name, loss in found.items():
                losses[name] = losses.get(name, 0) + stage.loss_weight * loss
        return losses

    def mask_loss(
        self, stage: int, pyramids: Sequence[Pyramid], samples: Sequence[Samples], targets: Targets
    ) -> Float[Tensor, ""]:
        """Mask loss of the sampled objects at one stage."""
        objects = [s.only_objects() for s in samples]
        head = self.stages[stage].mask_head
        assert head is not None
        first = stage if head.flow is None else 0  # without flow the earlier heads are not needed
        boxes, labels = [s.boxes for s in objects], torch.cat([s.labels for s in objects])
        *_, logits = self.mask_logits(pyramids, boxes, labels, self.stages[first : stage + 1])
        return mask_loss(logits, objects, [t["masks"] for t in targets])

    def mask_logits(
        self, pyramids: Sequence[Pyramid], boxes: Boxes, labels: Int[Tensor, "n"], stages: Iterable[RoIStage]
    ) -> list[Float[Tensor, "n t t"]]:
        """Mask logits from each stage that has a mask head, of the boxes of all images, concatenated."""
        heads = [stage.mask_head for stage in stages if stage.mask_head is not None]
        pooled = self.pool(pyramids, boxes, heads[0].pool_size)  # (n, c, s, s)
        logits, features = [], None
        for head in heads:
            features = head.features(pooled, features)
            logits.append(head.predict(features, labels))
        return logits

    def candidates(
        self, pyramids: Sequence[Pyramid], boxes: Boxes, sizes: Sizes
    ) -> list[tuple[Float[Tensor, "n k 4"], Float[Tensor, "n k_and_1"]]]:
        """Box of every proposal for every class, and class probabilities, background last, for each image.

        Args:
            pyramids: feature maps of the images of each size.
            boxes: proposals of each image.
            sizes: height and width of each image.
        """
        scores = []
        for stage in self.stages:
            logits, offsets = stage(self.pool(pyramids, boxes, stage.box_head.pool_size))
            scores.append(logits.softmax(dim=1))
            class_boxes = stage.decode(offsets, boxes, sizes)
            boxes = likeliest(class_boxes, logits)
        mean = torch.stack(scores).mean(dim=0).split([len(b) for b in boxes])
        return list(zip(class_boxes, mean, strict=True))

    def masks(
        self, pyramids: Sequence[Pyramid], boxes: Boxes, labels: Sequence[Int[Tensor, "_"]]
    ) -> list[Float[Tensor, "_ t t"]]:
        """Mask of each box of each image for its class: probabilities within the box, averaged over all mask heads."""
        logits = self.mask_logits(pyramids, boxes, torch.cat(list(labels)), self.stages)
        return list(torch.stack(logits).sigmoid().mean(dim=0).split([len(b) for b in boxes]))

    def detect(self, pyramids: Sequence[Pyramid], boxes: Boxes, sizes: Sizes) -> list[dict[str, Tensor]]:
        """`boxes`, `scores`, `labels` and, with masks, `masks` of the detections of each image, best first.

        Args:
            pyramids: feature maps of the images of each size.
            boxes: proposals of each image.
            sizes: height and width of each image.
        """
        detections = [self.postprocess(*found) for found in self.candidates(pyramids, boxes, sizes)]
        if not self.has_masks:
            return detections
        masks = self.masks(pyramids, [d["boxes"] for d in detections], [d["labels"] for d in detections])
        return [detection | {"masks": mask} for detection, mask in zip(detections, masks, strict=True)]


def likeliest(class_boxes: Sequence[Float[Tensor, "_ k 4"]], logits: Float[Tensor, "n k_and_1"]) -> list[Tensor]:
    """Box of the most likely class other than background, for each proposal of each image."""
    labels = logits[:, :-1].argmax(dim=1).split([len(b) for b in class_boxes])
    return [b[torch.arange(len(b), device=b.device), label] for b, label in zip(class_boxes, labels, strict=True)]
