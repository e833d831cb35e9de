"""Crop of extremely elongated images, which resizing by the short edge would make too large for memory."""

from typing import Any

from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

LONGEST = 32  # times the short edge


class CropElongated(v2.Transform):
    """Cuts both ends off an image that is longer than 32 times its short edge.

    Before resizing by the short edge and a square centre crop; their result is the same.
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Height and width to keep."""
        height, width = v2.query_size(flat_inputs)
        most = LONGEST * min(height, width)
        return {"size": [min(height, most), min(width, most)]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Crop an image."""
        return inpt if list(inpt.shape[-2:]) == params["size"] else F.center_crop(inpt, params["size"])
