"""Interface that all detectors share in training, scoring and prediction."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Shaped
from torch import Tensor, nn


class Detector(nn.Module):
    """Base class of detectors: images and targets to losses in training, images to detections in evaluation.

    Args:
        num_classes: number of classes without background, at least 1.
        has_masks: whether the detector predicts masks.
        semantic_classes: number of classes of its semantic branch, which learns from semantic maps; 0 for no branch.
    """

    def __init__(self, num_classes: int, has_masks: bool, semantic_classes: int = 0):
        super().__init__()
        self.num_classes = num_classes
        self.has_masks = has_masks
        self.semantic_classes = semantic_classes

    @property
    def heads(self) -> list[nn.Module]:
        """Parts behind the backbone that are called with feature maps of any size, and can be compiled."""
        raise NotImplementedError

    def forward(
        self, images: Sequence[Shaped[Tensor, "..."]], targets: Sequence[Mapping[str, Any]] | None = None
    ) -> Any:
        """Compute losses by name in training, detections of each image, best first, in evaluation.

        Args:
            images: each (3, H, W) of any size, RGB, uint8 or float from 0 to 1.
            targets: needed in training, per image: `boxes` (n, 4) xyxy in pixels, `labels` (n,) from 0 to `num_classes`
                - 1, with a mask head `masks` (n, H, W), and with a semantic branch `semantic` (H, W).

        Returns:
            Losses, each a scalar; or per image `boxes` (n, 4) xyxy in pixels, `scores` (n,), `labels` (n,) and, with a
            mask head, `masks` (n, m, m), probabilities on a grid over the box.

        Raises:
            ValueError, TypeError: images or targets of another form.
        """
        raise NotImplementedError
