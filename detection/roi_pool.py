"""RoIAlign on a feature pyramid (arXiv:1703.06870, sec. 3; level of a box: arXiv:1612.03144, eq. 1)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchvision.ops import box_area, roi_align

Pyramid = Sequence[Float[Tensor, "c _ _"]]  # the maps of one image, finest first

CANONICAL_SIZE, CANONICAL_STRIDE = 224, 16  # a box of 224 x 224 pixels is read from the map of stride 16


class RoIPool(nn.Module):
    """Cuts boxes out of the pyramids of a batch, each image from its own maps.

    Args:
        strides: stride in pixels of the levels to read from, finest first; coarser levels of the pyramid are left out.
        sampling_ratio: sampling points per bin and axis; 0 for as many as the bin has cells, as in detectron2 and
            mmdetection (torchvision's Mask R-CNN takes 2).
        aligned: whether the centre of the first cell lies at half a stride, as it truly does (torchvision's Mask R-CNN
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
        """Features of all boxes of all images in turn, `size` x `size` bins each."""
        return torch.cat([self.pool(p, b, size) for p, b in zip(pyramids, boxes, strict=True)])

    def pool(self, pyramid: Pyramid, boxes: Float[Tensor, "n 4"], size: int) -> Float[Tensor, "n c {size} {size}"]:
        """Features of the boxes of one image."""
        levels = self.levels(boxes)
        pooled = pyramid[0].new_zeros(len(boxes), len(pyramid[0]), size, size)
        for level, (features, stride) in enumerate(zip(pyramid, self.strides, strict=False)):
            chosen = torch.where(levels == level)[0]
            rois = [boxes[chosen].float()]
            bins = roi_align(features[None].float(), rois, size, 1 / stride, self.sampling_ratio, self.aligned)
            pooled[chosen] = bins.to(pooled.dtype)
        return pooled

    def levels(self, boxes: Float[Tensor, "n 4"]) -> Int[Tensor, "n"]:
        """Index of the level that each box is read from: the larger the box, the coarser the map."""
        stride = box_area(boxes).sqrt() * (CANONICAL_STRIDE / CANONICAL_SIZE)
        level = torch.floor(torch.log2(stride / self.strides[0]) + 1e-6)
        return level.clamp(0, len(self.strides) - 1).long()
