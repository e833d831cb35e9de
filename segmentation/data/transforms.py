"""Random transforms of training images and their labels, and the model's input size for other images."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Int16, UInt8
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import Image, Mask, wrap

from segmentation.data.class_list import IGNORED
from swinv2.imaging.resize import random_integer, resize, scaled

MEAN_COLOUR = (124.0, 116.0, 104.0)  # ImageNet's, which normalisation makes about 0
TRIES = 10  # random places for a crop
BRIGHTNESS = 32.0  # greatest shift to either side, of 255
CONTRAST = SATURATION = (0.5, 1.5)  # range of the factors
HUE = 18  # greatest shift to either side, of OpenCV's 180 steps of the circle


class ScaledCrop(v2.Transform):
    """Resize by a random scale, and crop where no class dominates: mmsegmentation's RandomResize and RandomCrop.

    The crop comes before the resize, which is many times faster where the image would become large. A place is judged
    by the resized labels. Smaller images are neither cropped nor padded.

    Args:
        short_edge: shorter side of the image at scale 1, pixels.
        long_edge: limit of the longer side at scale 1, pixels.
        scales: least and greatest scale.
        side: side of the crop, pixels.
        max_share: share of the labelled pixels that each of at least two classes must stay below; the last of ten
            places is taken anyway. At 1.0 the first place is taken.
    """

    def __init__(
        self, short_edge: int, long_edge: int, scales: tuple[float, float], side: int, max_share: float
    ) -> None:
        super().__init__()
        self.edges = short_edge, long_edge
        self.scales = scales
        self.side = side
        self.max_share = max_share

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the scale and the place of the crop."""
        rows, columns = v2.query_size(flat_inputs)
        resized = fitted(rows, columns, *self.edges, uniform(*self.scales))
        size = min(resized[0], self.side), min(resized[1], self.side)
        height = max(round(rows * size[0] / resized[0]), 1)  # of the crop, before it is resized
        width = max(round(columns * size[1] / resized[1]), 1)
        labels = next(one for one in flat_inputs if isinstance(one, Mask))
        for _ in range(TRIES):
            part = (random_integer(0, rows - height), random_integer(0, columns - width), height, width)
            if self.max_share >= 1 or is_mixed(resize(F.crop(labels, *part), size), self.max_share):
                break
        return {"part": part, "size": size}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Crop and resize the image or the labels."""
        return resize(F.crop(inpt, *params["part"]), params["size"])


class PhotometricDistortion(v2.Transform):
    """Change brightness, contrast, saturation and hue, each in half of the images (SSD, arXiv 1512.02325).

    Ranges and colour space are mmsegmentation's. torchvision's RandomPhotometricDistort also permutes the channels.
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw look-up tables: for all channels before, for hue and saturation, and for all channels after."""
        levels = np.arange(256)
        shift = uniform(-BRIGHTNESS, BRIGHTNESS) if heads() else 0.0
        contrast = uniform(*CONTRAST) if heads() else 1.0
        early = heads()
        saturation = uniform(*SATURATION) if heads() else 1.0
        hue = random_integer(-HUE, HUE) if heads() else 0
        colours = np.stack([(levels + hue) % 180, limited(levels * saturation), levels], axis=-1)[None]
        return {
            "before": limited(limited(levels + shift) * (contrast if early else 1.0)),
            "colours": colours.astype(np.uint8) if (saturation, hue) != (1.0, 0) else None,
            "after": limited(levels * (1.0 if early else contrast)),
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Change the colours of an image; labels stay unchanged."""
        if not isinstance(inpt, Image):
            return inpt
        pixels = cv2.LUT(np.ascontiguousarray(inpt.permute(1, 2, 0).numpy()), params["before"])  # (height, width, 3)
        if params["colours"] is not None:
            pixels = cv2.LUT(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV), params["colours"])
            pixels = cv2.cvtColor(pixels, cv2.COLOR_HSV2RGB)
        return wrap(torch.from_numpy(cv2.LUT(pixels, params["after"])).permute(2, 0, 1), like=inpt)


class PadToSquare(v2.Transform):
    """Pad on the right and at the bottom: images with the mean colour, labels with `IGNORED`.

    Args:
        side: least height and width, pixels.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Compute the padding."""
        height, width = v2.query_size(flat_inputs)
        return {"padding": [0, 0, max(self.side - width, 0), max(self.side - height, 0)]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Pad the image or the labels."""
        return F.pad(inpt, params["padding"], fill=IGNORED if isinstance(inpt, Mask) else list(MEAN_COLOUR))


@dataclass(frozen=True)
class InputSize:
    """Add to a target the `size` (height, width) of the model's input; the image is not resized.

    Args:
        short_edge: shorter side of the model's input, pixels; None for the size of the file.
        long_edge: limit of the longer side, pixels.
    """

    short_edge: int | None
    long_edge: int

    def __call__(self, image: Image, target: dict[str, Any]) -> tuple[Image, dict[str, Any]]:
        """Image unchanged, and target with `size`."""
        height, width = image.shape[-2:]
        size = (height, width) if self.short_edge is None else fitted(height, width, self.short_edge, self.long_edge)
        return image, target | {"size": size}


def train_transform(
    *,
    short_edge: int,
    long_edge: int,
    scale_range: tuple[float, float],
    crop_size: int,
    max_category_share: float,
    flip_prob: float,
    photometric: bool,
) -> v2.Compose:
    """Transforms of training images, in the order of mmsegmentation; see `Ade20kData` for the arguments.

    Raises:
        ValueError: a setting out of range.
    """
    check_edges("short_edge", short_edge, "long_edge", long_edge)
    if not 0 < scale_range[0] <= scale_range[1]:
        raise ValueError(f"scale_range {scale_range}: give [least, greatest], positive and ascending, e.g. [0.5, 2.0].")
    if crop_size < 1:
        raise ValueError(f"crop_size {crop_size}: give the side of the crop in pixels, e.g. 512.")
    if not 0 < max_category_share <= 1:
        raise ValueError(
            f"max_category_share {max_category_share}: give a share from 0 to 1, e.g. 0.75, or 1.0 for none."
        )
    if not 0 <= flip_prob <= 1:
        raise ValueError(f"flip_prob {flip_prob}: give a probability from 0 to 1, e.g. 0.5.")
    crop = ScaledCrop(short_edge, long_edge, scale_range, crop_size, max_category_share)
    colours = [PhotometricDistortion()] if photometric else []
    return v2.Compose([crop, v2.RandomHorizontalFlip(flip_prob), *colours, PadToSquare(crop_size)])


def eval_transform(short_edge: int | None, long_edge: int) -> InputSize:
    """Transform of images of validation and prediction; see `InputSize`.

    Raises:
        ValueError: edges out of range.
    """
    if short_edge is not None:
        check_edges("val_short_edge", short_edge, "val_long_edge", long_edge)
    return InputSize(short_edge, long_edge)


def check_edges(short_name: str, short_edge: int, long_name: str, long_edge: int) -> None:
    """Raise ValueError unless a short edge is positive and not above the long one."""
    if not 0 < short_edge <= long_edge:
        raise ValueError(
            f"{short_name} {short_edge} with {long_name} {long_edge}: give pixels, positive and ascending, e.g. 512 "
            "with 2048."
        )


def fitted(height: int, width: int, short_edge: int, long_edge: int, scale: float = 1.0) -> tuple[int, int]:
    """Size scaled to a short edge, or less where the long one would exceed its limit; then by a scale."""
    return scaled(height, width, scale * min(short_edge / min(height, width), long_edge / max(height, width)))


def is_mixed(labels: Int16[Tensor, "h w"], max_share: float) -> bool:
    """Whether there are at least two classes, each with less than a share of the labelled pixels."""
    counts = np.bincount(labels.flatten().numpy() + 1)[1:]  # without IGNORED
    return bool(np.count_nonzero(counts) > 1 and counts.max() < max_share * counts.sum())


def limited(levels: np.ndarray) -> UInt8[np.ndarray, " 256"]:
    """Levels rounded and clipped to 8 bits."""
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def uniform(least: float, greatest: float) -> float:
    """Random number, uniform in a range."""
    return least + float(torch.rand(())) * (greatest - least)


def heads() -> bool:
    """Toss a coin."""
    return bool(torch.rand(()) < 0.5)
