"""Random changes of training images, and the part of other images that is looked at, as in the official release."""

from torchvision.transforms import InterpolationMode, v2

from ...imaging.resize import check_crops, check_size
from .rand_augment import RandAugment

ENLARGED = 256 / 224  # short edge of an image whose middle is looked at, by the side of the crop


def train_transform(
    size: int,
    scale_range: tuple[float, float] = (0.08, 1.0),
    flip_prob: float = 0.5,
    rand_augment: tuple[float, float] | None = None,
    color_jitter: float = 0.0,
) -> v2.Compose:
    """A random part of an image, resized and changed, in the order of the official training.

    Args:
        size: height and width that come out, pixels.
        scale_range: least and greatest share of the area that is cut out.
        flip_prob: how often left and right are exchanged.
        rand_augment: magnitude (0 to 10) and its standard deviation; None for no RandAugment.
        color_jitter: how far brightness, contrast and saturation go from 1 either way. The official training has none
            where it has RandAugment.

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
    """What a model looks at of an image.

    Args:
        size: height and width that come out, pixels.
        crop: the middle of the image with its short edge at 256/224 of the size, as the release evaluates at 256
            pixels; otherwise the whole image, its proportions not kept, as the release does at 384.

    Raises:
        ValueError: the size is not positive.
    """
    check_size(size)
    edges = int(ENLARGED * size) if crop else [size, size]
    resize = v2.Resize(edges, interpolation=InterpolationMode.BICUBIC, antialias=True)
    return v2.Compose([resize, v2.CenterCrop(size)] if crop else [resize])
