"""Detection in images of any size, tile by tile (aerial and medical pictures)."""

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
CUT_MARGIN = 4  # pixels: how near to the border of a tile an object seems to go on beyond it
SHRUNK = -1  # what stands for the number of a tile where the whole image was looked at
WEIGHT = 0.5  # of the score of a part against that of the whole object, and of one seen small against one seen in full
PAIRS_AT_ONCE = 2**20  # bounds the memory in which detections are compared

Find = Callable[[Sequence[Tensor]], list[dict[str, Tensor]]]  # images to detections, as a detector does it


class Part(NamedTuple):
    """A rectangle of the image, in pixels.

    Attributes:
        top: its first row.
        left: its first column.
        height: number of rows.
        width: number of columns.
    """

    top: int
    left: int
    height: int
    width: int

    def cuts(self, boxes: Float[Tensor, "n 4"], size: tuple[int, int]) -> Bool[Tensor, "n"]:
        """Whether objects in the part, boxes xyxy in pixels of the image, reach a border that lies within the image."""
        near = [
            (self.left > 0) & (boxes[:, 0] < self.left + CUT_MARGIN),
            (self.top > 0) & (boxes[:, 1] < self.top + CUT_MARGIN),
            (self.left + self.width < size[1]) & (boxes[:, 2] > self.left + self.width - CUT_MARGIN),
            (self.top + self.height < size[0]) & (boxes[:, 3] > self.top + self.height - CUT_MARGIN),
        ]
        return torch.stack(near).any(dim=0)


@dataclass(frozen=True)
class Tiles:
    """How a large image is cut into overlapping tiles, and what is found in them put together.

    Every tile is given to the detector at the resolution of the image, one after the other, so that memory does not
    grow with the image; the commands read it as large as its file is, whatever `data.val_short_edge` says. Tiles are of
    one size and spread evenly; an axis that is shorter than a tile is not cut. What fits into the overlap lies within
    some tile uncut. An image that fits one tile is not cut at all.

    A detection that reaches an inner border of its tile may be part of an object that another tile shows whole. It
    gives way to a detection of the same class of another tile, or of the whole image, that covers it and has at least
    half its score; one that reaches such a border as well must be the larger. Of other detections of one class from
    different tiles that overlap, the best stays, but a score from the whole image counts half there: shrunk as it is,
    its boxes are less exact. Detections of the same tile never touch each other: the detector has settled that.

    The detector's limit on their number holds for each tile, not for the image.

    Args:
        size: side of a tile in pixels, at least 32.
        overlap: least part of a tile that the next one shows again, 0 up to but not including 1.
        whole: whether the detector also looks at the whole image, shrunk to fit one tile. Only what has a side longer
            than the overlap is taken from there.
        match_threshold: overlap, 0 to 1, from which two detections are one object: intersection over union, or over the
            area of the one that may be cut.

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
        """The tiles of an image of some height and width, row by row."""
        height, width = (min(self.size, length) for length in size)
        tops, lefts = (self.starts(length) for length in size)
        return [Part(top, left, height, width) for top, left in product(tops, lefts)]

    def starts(self, length: int) -> list[int]:
        """Where the tiles begin along an axis of the image."""
        beyond = max(length - self.size, 0)  # the first one
        steps = ceil(beyond / max(int(self.size * (1 - self.overlap)), 1))
        return [round(i * beyond / steps) for i in range(steps)] + [beyond]

    def detect(self, find: Find, image: Shaped[Tensor, "..."]) -> dict[str, Tensor]:
        """The detections in one image, best first, in the pixels of the image.

        Args:
            find: a detector, in evaluation, or what else takes images and gives detections like one.
            image: (3, H, W) of any size, RGB, uint8 or float from 0 to 1.

        Raises:
            ValueError: the image is not as said above.
        """
        check_images([image])
        size = (image.shape[1], image.shape[2])
        if max(size) <= self.size:
            return find([image])[0]
        found = list(self.look(find, image, size))
        return merge({key: torch.cat([part[key] for part in found]) for key in found[0]}, self.match_threshold)

    def look(
        self, find: Find, image: Shaped[Tensor, "3 h w"], size: tuple[int, int]
    ) -> Iterator[dict[str, Shaped[Tensor, "..."]]]:
        """What is found in each tile and in the whole image, in pixels of the image.

        Beside what the detector says of each detection, `part` is the number of its tile and `cut` whether it may be
        part of an object only.

        Args:
            find: a detector.
            image: larger than a tile.
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
    """One detection of each object, best first.

    A part gives way even to what gives way itself, to another view of the same object.

    Args:
        found: what `Tiles.look` gives, of all parts of the image.
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
    """Pairs of detections that are one object: a lower one and a higher one that it should give way to.

    Args:
        ranked: `boxes`, `scores`, `labels`, `part` and `cut` of detections.
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
    """Area that each of some boxes xyxy shares with each of others."""
    (left, top, right, bottom), (left2, top2, right2, bottom2) = one[:, :, None].unbind(dim=1), other.unbind(dim=1)
    width = (torch.minimum(right, right2) - torch.maximum(left, left2)).clamp(min=0)  # (n, m)
    return (torch.minimum(bottom, bottom2) - torch.maximum(top, top2)).clamp(min=0) * width


def greedy(pairs: Int[Tensor, "p 2"], always: Bool[Tensor, "p"], count: int) -> Bool[Tensor, "{count}"]:
    """Which of some ranked ones stay, if each gives way to others before it unless these have given way themselves.

    From the front on, every round settles at least one more.

    Args:
        pairs: number of one, and of another before it that it gives way to.
        always: whether it does so even if the other has given way itself.
        count: how many there are.
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
    """Detections of images, each as a whole or tile by tile, and in one view or in several.

    Args:
        model: the detector, in evaluation.
        images: each (3, H, W) of any size, RGB.
        tiles: how to cut large images; None for not at all.
        views: sizes and flips to look at an image, or each of its tiles, in; None for as it is.
    """

    def find(images: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        return model(images) if views is None else [views.detect(model, image) for image in images]

    return find(images) if tiles is None else [tiles.detect(find, image) for image in images]
