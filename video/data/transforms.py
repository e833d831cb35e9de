"""Random transforms of training clips, the same for all frames, and the crops of validation.

Clips are (frames, 3, height, width) with the channels innermost in memory, as decoded: torchvision then resizes all
frames in one call, antialiased, as fast as OpenCV does frame by frame.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from swinv2.imaging.resize import check_crops, check_size, random_integer

SHARES = (1.0, 0.875, 0.75, 0.66)  # of the short edge
SHAPES = [(SHARES[i], SHARES[j]) for i, j in product(range(len(SHARES)), repeat=2) if abs(i - j) <= 1]
PLACES = [(row, column) for row, column in product(range(5), repeat=2) if (row + column) % 2 == 0]  # 13, in quarters
GREY = 128.0  # fill at the border of rotated or shifted frames
STRONGEST = 30  # greatest magnitude of RandAugment
CROPS = (1, 3, 5)


class MultiScaleCrop(v2.Transform):
    """Crop one of ten sizes at one of 13 places, and resize it (TSN, arXiv 1608.00859, section 3.3).

    Height and width are 1, 0.875, 0.75 or 0.66 of the short edge, at most one step apart; the place is a corner, the
    middle, the middle of a side or a quarter of the way from a corner to the opposite one.

    Args:
        size: height and width after resizing, pixels.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw size and place."""
        height, width = v2.query_size(flat_inputs)
        rows, columns = (
            max(int(share * min(height, width)), 1) for share in SHAPES[random_integer(0, len(SHAPES) - 1)]
        )
        down, right = PLACES[random_integer(0, len(PLACES) - 1)]
        return {"part": ((height - rows) * down // 4, (width - columns) * right // 4, rows, columns)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Crop and resize all frames alike."""
        return F.resized_crop(inpt, *params["part"], [self.size, self.size])


@dataclass(frozen=True)
class Crops:
    """Square crops of validation: one in the middle, or several along the longer side.

    Args:
        short_edge: shorter side of the frames before the crop, pixels.
        size: height and width of a crop, pixels, at most `short_edge`.
        count: 1 for the middle; 3 for the middle and both ends; 5 for these and those between.

    Raises:
        ValueError: a number out of range.
    """

    short_edge: int = 256
    size: int = 224
    count: int = 1

    def __post_init__(self) -> None:
        check_size(self.size)
        if self.short_edge < self.size:
            raise ValueError(
                f"short_edge {self.short_edge} is less than size {self.size}; give pixels that a crop fits in, e.g. "
                f"{self.size} or more."
            )
        if self.count not in CROPS:
            raise ValueError(f"val_crops {self.count}: give 1 (the middle), 3 or 5 (along the longer edge).")

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of frames resized to the short edge, pixels."""
        scale = self.short_edge / min(height, width)
        return round(height * scale), round(width * scale)

    def places(self, height: int, width: int) -> list[tuple[int, int]]:
        """Upper left corners of the crops.

        Args:
            height: height of the resized frames, pixels.
            width: width of the resized frames, pixels.
        """
        down, right = height - self.size, width - self.size  # room, pixels
        if self.count == 1:
            return [(down // 2, right // 2)]
        steps, last = range(self.count), self.count - 1
        if height > width:
            return [(down * step // last, right // 2) for step in steps]
        return [(down // 2, right * step // last) for step in steps]


def train_transform(
    size: int,
    scale_range: tuple[float, float] = (0.08, 1.0),
    multi_scale: bool = False,
    flip_prob: float = 0.5,
    rand_augment: tuple[int, int] | None = None,
) -> v2.Compose:
    """Transforms of training clips, in the order of Video-Swin; see `KineticsData` for the arguments.

    Frames are not resized before the crop, as neither kind of crop depends on their size.

    Raises:
        ValueError: a setting out of range.
    """
    check_crops(size, scale_range, flip_prob)
    crop = MultiScaleCrop(size) if multi_scale else v2.RandomResizedCrop(size, scale_range, antialias=True)
    return v2.Compose([crop, v2.RandomHorizontalFlip(flip_prob), *rand_augmentation(rand_augment)])


def rand_augmentation(setting: tuple[int, int] | None) -> list[v2.Transform]:
    """RandAugment, or nothing; statistics of AutoContrast, Equalize and Contrast are computed per frame.

    Args:
        setting: number of operations and magnitude; None for nothing.

    Raises:
        ValueError: a number out of range.
    """
    if setting is None:
        return []
    operations, magnitude = setting
    if operations < 1 or not 0 <= magnitude <= STRONGEST:
        raise ValueError(
            f"rand_augment {setting}: give the number of operations, 1 or more, and their magnitude, 0 to {STRONGEST}, "
            "e.g. [2, 9]; null for none."
        )
    return [v2.RandAugment(operations, magnitude, num_magnitude_bins=STRONGEST + 1, fill=GREY)]
