"""Normalization and checks of input images, and the check of a model's number of classes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torchvision.transforms.v2 import functional as F

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalize(images: Shaped[Tensor, "*b 3 h w"], dtype: torch.dtype) -> Float[Tensor, "*b 3 h w"]:
    """Images of bytes or floats from 0 to 1, normalized by ImageNet's mean and standard deviation."""
    pixels = F.to_dtype(images, dtype, scale=True)
    return (pixels - per_channel(IMAGENET_MEAN, pixels)).div_(per_channel(IMAGENET_STD, pixels))


def per_channel(values: Sequence[float], like: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, "3 1 1"]:
    """A number for each channel, made on the device: a GPU need not wait for a copy."""
    return torch.cat([like.new_full((1, 1, 1), value) for value in values])


def check_images(images: Sequence[Tensor]) -> None:
    """Raise unless there is at least one image, and each is RGB, channels first, of bytes or floats from 0 to 1.

    Raises:
        ValueError: no images, a wrong shape, or floats far above 1.
        TypeError: numbers that are neither bytes nor floats.
    """
    if not len(images):
        raise ValueError("got no images; give at least one tensor of shape (3, height, width).")
    for i, image in enumerate(images):
        if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
            raise ValueError(f"image {i} has shape {tuple(image.shape)}; give (3, height, width), RGB channels first.")
        if image.dtype != torch.uint8 and not image.is_floating_point():
            raise TypeError(f"image {i} is of type {image.dtype}; give uint8 (0 to 255) or floats from 0 to 1.")
        known = image.device.type == "cpu"  # on a GPU the check would wait for the device
        if known and image.is_floating_point() and image.max() > 2:  # resizing may overshoot 1 a little
            raise ValueError(f"image {i} has floats up to {image.max():.0f}; scale them to 0 to 1, or give uint8.")


def check_num_classes(num_classes: int | None) -> int:
    """Number of classes, checked; a recipe may have left it open.

    Raises:
        ValueError: it is missing or not positive.
    """
    if num_classes is None or num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}; background is not counted.")
    return num_classes
