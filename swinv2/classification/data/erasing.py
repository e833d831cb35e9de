"""Random Erasing (arXiv 1708.04896): rectangles of training images replaced by noise."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.transforms import v2

AREA = (0.02, 1 / 3)  # of the image
ASPECT = (0.3, 1 / 0.3)  # height by width


class Erasing(nn.Module):
    """Fills a rectangle of some images of a normalised batch with Gaussian noise; apply it before mixing.

    Random numbers are torch's on the CPU, so a task that calls it within its training step gets the same rectangles
    when a run is resumed.

    Args:
        probability: of an image to be erased, e.g. 0.25 as in the official training.

    Raises:
        ValueError: it is no probability above 0.
    """

    def __init__(self, probability: float = 0.25) -> None:
        super().__init__()
        if not 0 < probability <= 1:
            raise ValueError(f"erasing {probability}: give a probability from 0, for none, to 1, e.g. 0.25.")
        self.erase = v2.RandomErasing(probability, AREA, ASPECT, value="random")

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Images, some with noise in a rectangle; the inputs are not changed."""
        return torch.stack([self.erase(image) for image in images])
