"""Random Erasing (arXiv 1708.04896): rectangles of training images replaced by noise."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

AREA = (0.02, 1 / 3)  # of the image
ASPECT = (0.3, 1 / 0.3)  # height by width
TRIES = 10  # rectangles drawn for an image; the first that fits is taken


class Erasing(nn.Module):
    """Fills a rectangle of some images of a normalised batch with Gaussian noise; apply it before mixing.

    Rectangles are drawn by torch's random numbers on the CPU, so a task that calls it within its training step gets the
    same ones when a run is resumed; noise is drawn on the device.

    Args:
        probability: of an image to be erased, e.g. 0.25 as in the official training.

    Raises:
        ValueError: it is no probability above 0.
    """

    def __init__(self, probability: float = 0.25) -> None:
        super().__init__()
        if not 0 < probability <= 1:
            raise ValueError(f"erasing {probability}: give a probability from 0, for none, to 1, e.g. 0.25.")
        self.probability = probability

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Images, some with noise in a rectangle; the inputs are not changed."""
        erased = images.clone()
        for image, top, left, height, width in self.rectangles(len(images), images.shape[2], images.shape[3]):
            erased[image, :, top : top + height, left : left + width].normal_()
        return erased

    def rectangles(self, number: int, height: int, width: int) -> list[list[int]]:
        """Image, first row, first column, height and width of each rectangle; areas and log aspects are uniform.

        Args:
            number: of images.
            height: of the images.
            width: of the images.
        """
        area = torch.empty(TRIES, number).uniform_(*AREA) * (height * width)
        aspect = torch.empty(TRIES, number).uniform_(*map(math.log, ASPECT)).exp()
        heights, widths = (area * aspect).sqrt().round().long(), (area / aspect).sqrt().round().long()
        fits = (heights < height) & (widths < width)
        first = fits.long().argmax(dim=0, keepdim=True)  # the first of the greatest
        sizes = heights.gather(0, first)[0], widths.gather(0, first)[0]
        corners = [
            (torch.rand(number) * (of - size + 1)).long() for of, size in zip((height, width), sizes, strict=True)
        ]
        chosen = (torch.rand(number) < self.probability) & fits.any(dim=0)
        return torch.stack([torch.arange(number), *corners, *sizes], dim=1)[chosen].tolist()
