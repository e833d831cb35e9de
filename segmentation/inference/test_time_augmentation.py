"""Test-time augmentation: several scales, with and without flip."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from swinv2.imaging.resize import scaled


class View(NamedTuple):
    """Size and flip of an image for the model.

    Attributes:
        size: height and width to which the image is resized, pixels.
        flip: whether it is flipped horizontally.
    """

    size: tuple[int, int]
    flip: bool


@dataclass(frozen=True)
class Views:
    """Test-time augmentation: sizes and flips of an image, over which probabilities are averaged.

    The defaults are those of mmsegmentation's `--aug-test`, with which multi-scale results are published.

    Args:
        scales: factors of the size of the model's input without augmentation.
        flip: whether every size is also used with a horizontal flip.

    Raises:
        ValueError: no scale, or one that is not positive.
    """

    scales: Sequence[float] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    flip: bool = True

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(
                f"scales must be positive, and at least one; got {list(self.scales)}; e.g. [0.5, 1.0, 1.5]."
            )

    def of(self, size: tuple[int, int]) -> list[View]:
        """Views of an image for a model input of some height and width."""
        flips = (False, True) if self.flip else (False,)
        return [View(scaled(*size, scale), flip) for scale, flip in product(self.scales, flips)]
