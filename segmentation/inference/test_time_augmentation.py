"""Testing at several scales, each as it is and flipped."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from swinv2.imaging.resize import scaled


class View(NamedTuple):
    """A way to look at an image.

    Attributes:
        size: height and width to which the image is resized, pixels.
        flip: whether left and right are exchanged.
    """

    size: tuple[int, int]
    flip: bool


@dataclass(frozen=True)
class Views:
    """The sizes in which a model looks at an image; the mean of its probabilities decides.

    The default is what mmsegmentation's `--aug-test` takes, by which published figures with multi-scale testing come
    about.

    Args:
        scales: factors of the size in which the model would look at the image otherwise.
        flip: whether every size is also looked at with left and right exchanged.

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
        """The views of an image that is to be looked at in some height and width."""
        flips = (False, True) if self.flip else (False,)
        return [View(scaled(*size, scale), flip) for scale, flip in product(self.scales, flips)]
