"""What every detector is to those who train, score and use it."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Shaped
from torch import Tensor, nn


class Detector(nn.Module):
    """Base of all detectors: in training images and targets to losses, in evaluation images to detections.

    Args:
        num_classes: number of classes without background, at least 1.
        has_masks: whether it learns and gives masks.
        semantic_classes: number of classes of the semantic maps that it learns from beside the objects, 0 for none.
    """

    def __init__(self, num_classes: int, has_masks: bool, semantic_classes: int = 0):
        super().__init__()
        self.num_classes = num_classes
        self.has_masks = has_masks
        self.semantic_classes = semantic_classes

    def forward(
        self, images: Sequence[Shaped[Tensor, "..."]], targets: Sequence[Mapping[str, Any]] | None = None
    ) -> Any:
        """In training the losses by name, in evaluation the detections of each image, best first.

        Args:
            images: each (3, H, W) of any size, RGB, uint8 or float from 0 to 1.
            targets: in training, of each image `boxes` (n, 4) xyxy in pixels, `labels` (n,) from 0 to
                `num_classes` - 1, with a mask head `masks` (n, H, W), and with a semantic branch `semantic` (H, W).

        Returns:
            Losses, each a scalar; or per image `boxes` (n, 4) xyxy in pixels, `scores` (n,), `labels` (n,) and, with a
            mask head, `masks` (n, m, m), probabilities within the box.

        Raises:
            ValueError, TypeError: for images or targets that are not as said above.
        """
        raise NotImplementedError
