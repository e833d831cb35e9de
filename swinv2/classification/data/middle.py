"""The middle of images that are many times longer than wide, which resizing would make too large for the memory."""

from typing import Any

from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

LONGEST = 32  # times the short edge


class Middle(v2.Transform):
    """Cuts both ends off an image that is longer than 32 times its short edge.

    For what is resized by its short edge and then cut to a square; what is looked at in the end is the same.
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """See how much of each side stays."""
        height, width = v2.query_size(flat_inputs)
        most = LONGEST * min(height, width)
        return {"size": [min(height, most), min(width, most)]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Cut an image."""
        return inpt if list(inpt.shape[-2:]) == params["size"] else F.center_crop(inpt, params["size"])
