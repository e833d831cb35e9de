"""RoIAlign on a feature pyramid (arXiv:1703.06870, sec. 3; level of a box: arXiv:1612.03144, eq. 1)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchvision.ops import box_area, roi_align

from detection.detectors.semantic_branch import LEVEL


class Pyramid(NamedTuple):
    """Feature maps of the images of one size.

    Attributes:
        images: indices of the images in the batch.
        maps: feature maps (b, c, h, w), finest first.
        semantic: feature map (b, c, h, w) of a semantic branch, whose pooled features are added to those of the others.
    """

    images: Sequence[int]
    maps: Sequence[Float[Tensor, "b c _ _"]]
    semantic: Float[Tensor, "b c _ _"] | None = None


CANONICAL_SIZE, CANONICAL_STRIDE = 224, 16  # a box of 224 x 224 pixels is pooled from the map of stride 16


class RoIPool(nn.Module):
    """RoIAlign of boxes on the pyramids of a batch, each box on the maps of its image.

    Args:
        strides: strides in pixels of the levels to pool from, finest first; coarser levels of the pyramid are not used.
        sampling_ratio: sampling points per bin and axis; 0 for as many as the bin has cells, as in detectron2 and
            mmdetection (2 in torchvision's Mask R-CNN).
        aligned: whether the centre of the first cell lies at half a stride, which is exact (torchvision's Mask R-CNN
            places it at 0).
    """

    def __init__(self, strides: Sequence[int], sampling_ratio: int = 0, aligned: bool = True):
        super().__init__()
        self.strides = list(strides)
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned

    def forward(
        self, pyramids: Sequence[Pyramid], boxes: Sequence[Float[Tensor, "_ 4"]], size: int
    ) -> Float[Tensor, "n c {size} {size}"]:
        """Pooled features of the boxes of all images, concatenated, `size` x `size` bins each."""
        pooled: dict[int, Tensor] = {}
        for pyramid in pyramids:
            own = [boxes[image] for image in pyramid.images]
            bins = self.pool(pyramid, own, size).split([len(b) for b in own])
            pooled.update(zip(pyramid.images, bins, strict=True))
        return torch.cat([pooled[image] for image in range(len(boxes))])

    def pool(
        self, pyramid: Pyramid, boxes: Sequence[Float[Tensor, "_ 4"]], size: int
    ) -> Float[Tensor, "n c {size} {size}"]:
        """Pooled features of the boxes of images of one size."""
        rois = torch.cat([F.pad(b.float(), (1, 0), value=i) for i, b in enumerate(boxes)])  # (n, 5): image, box
        levels = self.levels(rois[:, 1:])
        numbers = (levels[:, None] == torch.arange(len(self.strides), device=levels.device)).sum(0).tolist()
        rest = len(levels) - sum(numbers)  # boxes that are not finite, which stay zeros
        by_level = levels.argsort(stable=True).split([*numbers, rest])  # a GPU is waited for once, not at each level
        pooled = pyramid.maps[0].new_zeros(len(rois), pyramid.maps[0].shape[1], size, size)
        for features, stride, chosen in zip(pyramid.maps, self.strides, by_level, strict=False):
            pooled[chosen] = self.align(features, rois[chosen], size, stride)
        if pyramid.semantic is None:
            return pooled
        return pooled + self.align(pyramid.semantic, rois, size, self.strides[LEVEL])

    def align(
        self, features: Float[Tensor, "b c _ _"], rois: Float[Tensor, "n 5"], size: int, stride: int
    ) -> Float[Tensor, "n c {size} {size}"]:
        """RoIAlign on one map, in float32; the result has the map's dtype."""
        bins = roi_align(features.float(), rois, size, 1 / stride, self.sampling_ratio, self.aligned)
        return bins.to(features.dtype)

    def levels(self, boxes: Float[Tensor, "n 4"]) -> Int[Tensor, "n"]:
        """Index of the level that each box is pooled from: the larger the box, the coarser the map.

        That of a box that is not finite lies beyond the last.
        """
        stride = box_area(boxes).sqrt() * (CANONICAL_STRIDE / CANONICAL_SIZE)
        level = torch.floor(torch.log2(stride / self.strides[0]) + 1e-6)
        return level.clamp(0, len(self.strides) - 1).nan_to_num(len(self.strides)).long()
