"""Random masks of images' patches (arXiv:2111.09886, section 3.2)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor


@dataclass(frozen=True)
class MaskGenerator:
    """Masks a random share of an image's square patches.

    Args:
        patch_size: side of a masked patch, pixels.
        ratio: share of the patches that is masked, above 0, at most 1; their number is rounded up.
        token_size: side of the model's patches, pixels.

    Raises:
        ValueError: a number out of range.
    """

    patch_size: int = 32
    ratio: float = 0.6
    token_size: int = 4

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.patch_size < 1 or self.patch_size % self.token_size:
            raise ValueError(
                f"Hidden patches consist of whole patches of the model, {self.token_size} pixels wide; got a "
                f"mask_patch_size of {self.patch_size}, use e.g. {8 * self.token_size}."
            )
        if not 0 < self.ratio <= 1:
            raise ValueError(f"mask_ratio is the share that is hidden, above 0 and at most 1, got {self.ratio}.")

    def __call__(self, size: Sequence[int], generator: torch.Generator | None = None) -> Bool[Tensor, "h w"]:
        """Mask of an image, True for a masked token.

        Args:
            size: height and width of the image, pixels.
            generator: of random numbers; torch's default one if None.

        Raises:
            ValueError: the image cannot be divided into such patches.
        """
        if any(side < 1 or side % self.patch_size for side in size):
            raise ValueError(
                f"An image of {tuple(size)} pixels has no whole number of patches of {self.patch_size} pixels to hide; "
                f"choose sides that are multiples of {self.patch_size} (data.size), or another mask_patch_size."
            )
        rows, columns = (side // self.patch_size for side in size)
        mask = torch.zeros(rows * columns, dtype=torch.bool)
        mask[torch.randperm(len(mask), generator=generator)[: math.ceil(len(mask) * self.ratio)]] = True
        tokens = self.patch_size // self.token_size
        return mask.view(rows, columns).repeat_interleave(tokens, 0).repeat_interleave(tokens, 1)
