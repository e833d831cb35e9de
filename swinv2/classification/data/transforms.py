"""Transforms of training images, and of validation and predicted images, as in the official release."""

from torchvision.transforms import InterpolationMode, v2

from ...imaging.resize import check_crops, check_size
from .rand_augment import RandAugment

ENLARGED = 256 / 224  # short edge of the resized image over the side of the centre crop


def train_transform(
    size: int,
    scale_range: tuple[float, float] = (0.08, 1.0),
    flip_prob: float = 0.5,
    rand_augment: tuple[float, float] | None = None,
    color_jitter: float = 0.0,
) -> v2.Compose:
    """Random resized crop, flip and colour changes, in the order of the official training.

    Args:
        size: height and width of the result, pixels.
        scale_range: least and greatest share of the area of a crop.
        flip_prob: probability of a horizontal flip.
        rand_augment: magnitude (0 to 10) and its standard deviation; None for no RandAugment.
        color_jitter: most change of the factors of brightness, contrast and saturation from 1. The official training
            has none if it has RandAugment.

    Raises:
        ValueError: a setting out of range.
    """
    check_crops(size, scale_range, flip_prob)
    if not 0 <= color_jitter <= 1:
        raise ValueError(f"color_jitter {color_jitter}: give a number from 0, for none, to 1, e.g. 0.4.")
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale_range, interpolation=InterpolationMode.BICUBIC, antialias=True),
            v2.RandomHorizontalFlip(flip_prob),
            *([RandAugment(*rand_augment)] if rand_augment is not None else []),
            *([v2.ColorJitter(color_jitter, color_jitter, color_jitter)] if color_jitter else []),
        ]
    )


def eval_transform(size: int, crop: bool = True) -> v2.Compose:
    """Resize and centre crop for evaluation.

    Args:
        size: height and width of the result, pixels.
        crop: resize the short edge to 256/224 of the size and cut out the middle, as the release evaluates at 256
            pixels; otherwise resize the whole image without keeping its proportions, as the release does at 384.

    Raises:
        ValueError: the size is not positive.
    """
    check_size(size)
    edges = int(ENLARGED * size) if crop else [size, size]
    resize = v2.Resize(edges, interpolation=InterpolationMode.BICUBIC, antialias=True)
    return v2.Compose([resize, v2.CenterCrop(size)] if crop else [resize])
