"""Detection in large images tile by tile (aerial and medical pictures)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torchvision.ops import box_area

from detection.detectors.detector import Detector
from detection.inference.test_time_augmentation import Views, rescale
from swinv2.imaging.normalize import check_images
from swinv2.imaging.resize import resize, scaled

LEAST_SIZE = 32  # pixels
CUT_MARGIN = 4  # pixels from the border of a tile within which an object may continue beyond it
SHRUNK = -1  # tile number of detections from the whole, shrunk image
WEIGHT = 0.5  # of the score of a cut object relative to a whole one, and of a detection from the shrunk image
PAIRS_AT_ONCE = 2**20  # pairs of detections compared at once, which bounds memory

Find = Callable[[Sequence[Tensor]], list[dict[str, Tensor]]]  # images to detections, like a detector


class Part(NamedTuple):
    """Rectangle of the image, in pixels.

    Attributes:
        top: first row.
        left: first column.
        height: number of rows.
        width: number of columns.
    """

    top: int
    left: int
    height: int
    width: int

    def cuts(self, boxes: Float[Tensor, "n 4"], size: tuple[int, int]) -> Bool[Tensor, "n"]:
        """Whether boxes (xyxy, pixels of the image) in the part reach a border of it that lies within the image."""
        near = [
            (self.left > 0) & (boxes[:, 0] < self.left + CUT_MARGIN),
            (self.top > 0) & (boxes[:, 1] < self.top + CUT_MARGIN),
            (self.left + self.width < size[1]) & (boxes[:, 2] > self.left + self.width - CUT_MARGIN),
            (self.top + self.height < size[0]) & (boxes[:, 3] > self.top + self.height - CUT_MARGIN),
        ]
        return torch.stack(near).any(dim=0)


@dataclass(frozen=True)
class Tiles:
    """Tiling of a large image with overlap, and merging of the detections of its tiles.

    The detector takes the tiles at the resolution of the image, one after the other, so that memory does not grow with
    the image; the commands read it in the size of its file, whatever `data.val_short_edge` is. Tiles are of equal size
    and spread evenly; an axis that is shorter than a tile is not cut. Every object that fits into the overlap lies
    whole in some tile. An image that fits one tile is not cut at all.

    A detection that reaches an inner border of its tile may be part of an object that lies whole in another tile. It is
    dropped for a detection of the same class from another tile, or from the whole image, that covers it and has at
    least half its score; if that one reaches an inner border too, it must be the larger. Of other overlapping
    detections of a class from different tiles the best is kept, where scores from the whole image count half, since its
    boxes are less exact. Detections of the same tile are never compared: the detector's NMS has done that.

    The detector's limit of the number of detections holds for each tile, not for the image.

    Args:
        size: side of a tile in pixels, at least 32.
        overlap: least share of a tile that the next one repeats, 0 up to but not including 1.
        whole: whether to detect in the whole image too, shrunk to fit one tile. Only detections with a side longer than
            the overlap are taken from there.
        match_threshold: overlap, 0 to 1, from which two detections are one object: intersection over union, or over the
            area of the detection that may be cut.

    Raises:
        ValueError: a setting outside its range.
    """

    size: int = 1024
    overlap: float = 0.25
    whole: bool = True
    match_threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.size < LEAST_SIZE:
            raise ValueError(f"size of tiles must be at least {LEAST_SIZE} pixels, got {self.size}.")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap of tiles must be from 0 to below 1, got {self.overlap}; e.g. 0.25.")
        if not 0 < self.match_threshold <= 1:
            raise ValueError(f"match_threshold must be above 0 and at most 1, got {self.match_threshold}.")

    def of(self, size: tuple[int, int]) -> list[Part]:
        """Tiles of an image of some height and width, row by row."""
        height, width = (min(self.size, length) for length in size)
        tops, lefts = (self.starts(length) for length in size)
        return [Part(top, left, height, width) for top, left in product(tops, lefts)]

    def starts(self, length: int) -> list[int]:
        """First pixel of each tile along an axis of the image."""
        beyond = max(length - self.size, 0)  # start of the last tile
        steps = ceil(beyond / max(int(self.size * (1 - self.overlap)), 1))
        return [round(i * beyond / steps) for i in range(steps)] + [beyond]

    def detect(self, find: Find, image: Shaped[Tensor, "..."]) -> dict[str, Tensor]:
        """Detections in one image, best first, in pixels of the image.

        Args:
            find: detector in evaluation mode, or another function from images to detections.
            image: (3, H, W) of any size, RGB, uint8 or float from 0 to 1.

        Raises:
            ValueError: an image of another form.
        """
        check_images([image])
        size = (image.shape[1], image.shape[2])
        if max(size) <= self.size:
            return find([image])[0]
        found = list(self.detect_tiles(find, image, size))
        return merge({key: torch.cat([part[key] for part in found]) for key in found[0]}, self.match_threshold)

    def detect_tiles(
        self, find: Find, image: Shaped[Tensor, "3 h w"], size: tuple[int, int]
    ) -> Iterator[dict[str, Shaped[Tensor, "..."]]]:
        """Detections in each tile and in the whole image, in pixels of the image.

        Beside the detector's own keys, `part` is the number of each detection's tile and `cut` whether it may be only a
        part of an object.

        Args:
            find: function from images to detections.
            image: image that is larger than a tile.
            size: height and width of the image.
        """
        for number, part in enumerate(self.of(size)):
            (found,) = find([image[:, part.top : part.top + part.height, part.left : part.left + part.width]])
            boxes = found["boxes"] + found["boxes"].new_tensor([part.left, part.top] * 2)
            yield found | {
                "boxes": boxes,
                "part": torch.full_like(found["labels"], number),
                "cut": part.cuts(boxes, size),
            }
        if self.whole:
            small = scaled(*size, self.size / max(size))
            (found,) = find([resize(image, small)])
            found = found | {"boxes": rescale(found["boxes"], small, size)}
            sides = found["boxes"][:, 2:] - found["boxes"][:, :2]
            found = {key: values[sides.amax(dim=1) > self.overlap * self.size] for key, values in found.items()}
            yield found | {
                "part": torch.full_like(found["labels"], SHRUNK),
                "cut": torch.zeros_like(found["labels"], dtype=torch.bool),
            }


def merge(found: dict[str, Shaped[Tensor, "n ..."]], threshold: float) -> dict[str, Shaped[Tensor, "m ..."]]:
    """Merge the detections of all tiles to one per object, best first.

    A cut detection is dropped even for one that is itself dropped for another detection of the same object.

    Args:
        found: detections of `Tiles.detect_tiles`, of all parts of the image.
        threshold: overlap, 0 to 1, from which two detections are one object.
    """
    cut, scores = found["cut"], found["scores"]
    weighted = torch.where(found["part"] == SHRUNK, WEIGHT * scores, scores)
    order = torch.where(cut, box_area(found["boxes"]), weighted).argsort(descending=True, stable=True)
    order = order[cut[order].int().argsort(stable=True)]  # whole objects by score, then parts by area
    pairs = repeated({key: values[order] for key, values in found.items()}, threshold)
    kept = order[greedy(pairs, cut[order][pairs[:, 0]], len(order))]
    kept = kept[scores[kept].argsort(descending=True, stable=True)]
    return {key: values[kept] for key, values in found.items() if key not in ("part", "cut")}


def repeated(ranked: Mapping[str, Shaped[Tensor, "n ..."]], threshold: float) -> Int[Tensor, "p 2"]:
    """Pairs of detections of one object: a lower-ranked one, and a higher-ranked one for which it is dropped.

    Args:
        ranked: `boxes`, `scores`, `labels`, `part` and `cut` of detections, best first.
        threshold: overlap, 0 to 1, from which two detections are one object.
    """
    boxes, scores, labels, part, cut = (ranked[key] for key in ("boxes", "scores", "labels", "part", "cut"))
    areas, count = box_area(boxes), len(boxes)
    pairs = [labels.new_zeros(0, 2)]
    rows = max(PAIRS_AT_ONCE // max(count, 1), 1)
    for first in range(0, count, rows):
        one, other = slice(first, first + rows), slice(first + rows)
        shared = intersection(boxes[one], boxes[other])
        area = areas[one, None] + torch.where(cut[one, None], 0, areas[other] - shared)
        same = (labels[one, None] == labels[other]) & (part[one, None] != part[other])
        enough = ~cut[one, None] | (scores[other] >= WEIGHT * scores[one, None])
        matches = (shared >= threshold * area) & same & enough & (shared > 0)
        pairs.append(matches.tril(first - 1).nonzero() + pairs[0].new_tensor([first, 0]))
    return torch.cat(pairs)


def intersection(one: Float[Tensor, "n 4"], other: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """Area of intersection of each box (xyxy) of one list with each of another."""
    (left, top, right, bottom), (left2, top2, right2, bottom2) = one[:, :, None].unbind(dim=1), other.unbind(dim=1)
    width = (torch.minimum(right, right2) - torch.maximum(left, left2)).clamp(min=0)  # (n, m)
    return (torch.minimum(bottom, bottom2) - torch.maximum(top, top2)).clamp(min=0) * width


def greedy(pairs: Int[Tensor, "p 2"], always: Bool[Tensor, "p"], count: int) -> Bool[Tensor, "{count}"]:
    """Whether each ranked item is kept: one is dropped for a higher-ranked one, unless that is dropped itself.

    From the highest rank on, every round settles at least one more.

    Args:
        pairs: index of an item, and of a higher-ranked one for which it is dropped.
        always: whether it is dropped even if the other is dropped itself, for each pair.
        count: number of items.
    """
    one, other = pairs.unbind(dim=1)
    stays = torch.ones(count, dtype=torch.bool, device=pairs.device)
    while True:
        before, stays = stays, torch.ones_like(stays)
        stays[one[before[other] | always]] = False
        if torch.equal(before, stays):
            return stays


def detect_each(
    model: Detector, images: Sequence[Shaped[Tensor, "..."]], tiles: Tiles | None = None, views: Views | None = None
) -> list[dict[str, Tensor]]:
    """Detections of images, each whole or tile by tile, in one view or several.

    Args:
        model: detector in evaluation mode.
        images: each (3, H, W) of any size, RGB.
        tiles: tiling of large images; None for none.
        views: sizes and flips of an image, or of each of its tiles; None: as it is.
    """

    def find(images: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        return model(images) if views is None else [views.detect(model, image) for image in images]

    return find(images) if tiles is None else [tiles.detect(find, image) for image in images]
