"""Joint transforms of image, boxes, regions and semantic map."""

from collections.abc import Sequence
from typing import Any

import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat, Image, wrap

from detection.data.regions import region_boxes
from swinv2.imaging.resize import random_integer, resize, scaled

DETR_SHORT_EDGES = (400, 500, 600)  # before the crop
DETR_CROP = (384, 600)  # least and greatest side of the crop


class RandomShortEdge(v2.Transform):
    """Resize to a short edge drawn from a list, or less where the long edge would exceed its limit.

    Args:
        short_edges: lengths in pixels, drawn with equal probability.
        long_edge: greatest length of the other edge, pixels.
    """

    def __init__(self, short_edges: Sequence[int], long_edge: int | None = None) -> None:
        super().__init__()
        self.short_edges = short_edges
        self.long_edge = long_edge

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the new size."""
        height, width = v2.query_size(flat_inputs)
        factor = self.short_edges[int(torch.randint(len(self.short_edges), ()))] / min(height, width)
        if self.long_edge is not None:
            factor = min(factor, self.long_edge / max(height, width))
        return {"size": scaled(height, width, factor)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Resize the image, the boxes or the masks."""
        return resize(inpt, params["size"])


class ScaleJitter(v2.Transform):
    """Resize to fit a square times a random scale, and crop to the square (large-scale jitter, arXiv 2012.07177).

    The crop comes before the resize, so that no image is ever larger than the square. A smaller one is not padded.

    Args:
        side: side of the square, pixels.
        scales: least and greatest scale; the longer side of the image is the scale times that of the square.
    """

    def __init__(self, side: int, scales: tuple[float, float]) -> None:
        super().__init__()
        self.side = side
        self.scales = scales

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the scale and the place of the crop."""
        height, width = v2.query_size(flat_inputs)
        least, greatest = self.scales
        factor = (least + float(torch.rand(())) * (greatest - least)) * self.side / max(height, width)
        size = scaled(height, width, factor)
        visible = max(round(self.side / factor), 1)  # pixels of the image that fill the side of the square
        part = [visible if new > self.side else old for new, old in zip(size, (height, width), strict=True)]
        place = random_integer(0, height - part[0]), random_integer(0, width - part[1])
        return {"part": (*place, *part), "size": (min(size[0], self.side), min(size[1], self.side))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Crop and resize the image, the boxes or the masks."""
        return resize(F.crop(inpt, *params["part"]), params["size"])


class RandomCrop(v2.Transform):
    """Crop to random sides drawn from a range; a side shorter than the range stays whole.

    Args:
        least: shortest side, pixels.
        greatest: longest side, pixels.
    """

    def __init__(self, least: int, greatest: int) -> None:
        super().__init__()
        self.least = least
        self.greatest = greatest

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw size and place of the crop."""
        height, width = v2.query_size(flat_inputs)
        kept_height, kept_width = self._side(height), self._side(width)
        top, left = random_integer(0, height - kept_height), random_integer(0, width - kept_width)
        return {"top": top, "left": left, "height": kept_height, "width": kept_width}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Crop the image, the boxes or the masks."""
        return F.crop(inpt, params["top"], params["left"], params["height"], params["width"])

    def _side(self, length: int) -> int:
        return random_integer(min(self.least, length), min(self.greatest, length))


def train_transform(
    short_edge: int | tuple[int, int],
    long_edge: int,
    flip_prob: float = 0.5,
    random_crop: bool = False,
    scale_jitter: tuple[float, float] | None = None,
    crop_size: int | None = None,
) -> v2.Compose:
    """Flip, then resize at random, with or without cropping; objects that this leaves invisible are dropped.

    Args:
        short_edge: shorter side after resizing, pixels, or least and greatest of a range of whole numbers.
        long_edge: greatest length of the longer side, pixels.
        flip_prob: probability of a horizontal flip.
        random_crop: crop half of the images to sides of 384 to 600 pixels first (DETR, arXiv 2005.12872, A.4).
        scale_jitter: least and greatest scale relative to `crop_size`, instead of the edges above.
        crop_size: greatest side after `scale_jitter`, pixels; smaller images are not padded.

    Raises:
        ValueError: an empty range, or two settings that exclude each other.
    """
    check_settings(short_edge, long_edge, random_crop, scale_jitter, crop_size)
    flip = v2.RandomHorizontalFlip(flip_prob)
    if scale_jitter is not None and crop_size is not None:
        return v2.Compose([flip, ScaleJitter(crop_size, scale_jitter), fit_boxes, keep_visible])
    least, greatest = (short_edge, short_edge) if isinstance(short_edge, int) else short_edge
    whole = RandomShortEdge(range(least, greatest + 1), long_edge)
    if not random_crop:
        return v2.Compose([flip, whole, keep_visible])
    part = v2.Compose([RandomShortEdge(DETR_SHORT_EDGES), RandomCrop(*DETR_CROP), fit_boxes, whole])
    return v2.Compose([flip, v2.RandomChoice([whole, part]), keep_visible])


def eval_transform(short_edge: int, long_edge: int) -> RandomShortEdge:
    """Transform that resizes the short edge to `short_edge` pixels, less where the long edge would pass `long_edge`.

    Raises:
        ValueError: the short edge is not positive, or above the limit.
    """
    check_settings(short_edge, long_edge)
    return RandomShortEdge([short_edge], long_edge)


def check_settings(
    short_edge: int | tuple[int, int],
    long_edge: int,
    random_crop: bool = False,
    scale_jitter: tuple[float, float] | None = None,
    crop_size: int | None = None,
) -> None:
    """Raise ValueError unless the settings of `train_transform` fit together."""
    least, greatest = (short_edge, short_edge) if isinstance(short_edge, int) else short_edge
    if scale_jitter is None and not 0 < least <= greatest <= long_edge:
        raise ValueError(
            f"short_edge {short_edge} with long_edge {long_edge}: give a size or [least, greatest], "
            "positive, ascending and not above long_edge; e.g. [480, 800] with 1333."
        )
    if (scale_jitter is None) != (crop_size is None):
        raise ValueError(
            f"scale_jitter {scale_jitter} needs crop_size and the other way round (given {crop_size}); "
            "e.g. scale_jitter [0.1, 2.0] with crop_size 1024."
        )
    if scale_jitter is not None and not 0 < scale_jitter[0] <= scale_jitter[1]:
        raise ValueError(f"scale_jitter {scale_jitter}: give [least, greatest], positive and ascending.")
    if scale_jitter is not None and scale_jitter[1] < 1:
        raise ValueError(
            f"scale_jitter {scale_jitter} leaves every image smaller than the crop of {crop_size} pixels, which scale "
            "1 just fills; give a greatest scale of 1 or more, e.g. [0.1, 2.0]."
        )
    if scale_jitter is not None and random_crop:
        raise ValueError("scale_jitter and random_crop both crop; give one of them.")


def fit_boxes(image: Image, target: dict[str, Any]) -> tuple[Image, dict[str, Any]]:
    """Shrink each box to the part of its region that a crop left; without regions, boxes stay cut at the border."""
    if "regions" not in target:
        return image, target
    edges = region_boxes(target["regions"], target["origins"])
    boxes = BoundingBoxes(edges, format=BoundingBoxFormat.XYXY, canvas_size=tuple(image.shape[-2:]))
    return image, target | {"boxes": boxes}


def keep_visible(image: Image, target: dict[str, Any]) -> tuple[Image, dict[str, Any]]:
    """Drop objects with a side of less than a pixel or without a pixel in their region."""
    boxes = target["boxes"]
    keep = (boxes[:, 2:] - boxes[:, :2] >= 1).all(dim=1)
    kept: dict[str, Any] = {}
    if "regions" in target:
        keep &= region_boxes(target["regions"], target["origins"]).any(dim=1)
        kept["regions"] = [region for region, stays in zip(target["regions"], keep.tolist(), strict=True) if stays]
    kept |= {"boxes": wrap(boxes[keep], like=boxes), "labels": target["labels"][keep]}
    return image, target | kept
