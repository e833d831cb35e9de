"""Offsets from boxes to the boxes of their objects (arXiv:1311.2524, appendix C)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.models.detection import _utils


class BoxCoder(_utils.BoxCoder):
    """torchvision's box coder, with its constants made on the device: a GPU need not wait for their copies."""

    def encode_single(
        self, reference_boxes: Float[Tensor, "n 4"], proposals: Float[Tensor, "n 4"]
    ) -> Float[Tensor, "n 4"]:
        """Offsets from proposals to the boxes of their objects."""
        return _utils.encode_boxes(reference_boxes, proposals, self.factors(reference_boxes))

    def decode_single(self, rel_codes: Float[Tensor, "n k4"], boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n k4"]:
        """Boxes of which each is reached by four offsets, one or more per box."""
        boxes = boxes.to(rel_codes.dtype)
        sizes = boxes[:, None, 2:] - boxes[:, None, :2]  # (n, 1, 2)
        offsets = rel_codes.unflatten(1, (-1, 4)) / self.factors(rel_codes)  # (n, k, 4)
        centres = offsets[..., :2] * sizes + (boxes[:, None, :2] + 0.5 * sizes)
        halves = 0.5 * (torch.exp(offsets[..., 2:].clamp(max=self.bbox_xform_clip)) * sizes)
        return torch.cat([centres - halves, centres + halves], dim=-1).flatten(1)

    def factors(self, like: Tensor) -> Float[Tensor, "4"]:
        """Factors of the offsets."""
        return torch.cat([like.new_full((1,), weight) for weight in self.weights])
