"""Test-time augmentation: several scales, with and without flip, as in HTC++ (arXiv:2103.14030, A2.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torchvision.ops import box_area

from detection.detectors.detector import Detector
from detection.detectors.rcnn import RCNN
from detection.roi.roi_pool import Pyramid
from swinv2.imaging.normalize import check_images
from swinv2.imaging.resize import resize, scaled

Area = Literal["small", "medium", "large"]
AREAS: dict[Area, tuple[float, float]] = {  # least (included) and greatest (excluded), in pixels, as in COCO
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, float("inf")),
}


class View(NamedTuple):
    """Image in one size, flipped or not.

    Attributes:
        original: height and width of the image in pixels.
        size: height and width of the view in pixels.
        flip: whether the view is flipped horizontally.
        areas: sizes of the objects to find in the view.
    """

    original: tuple[int, int]
    size: tuple[int, int]
    flip: bool
    areas: Sequence[Area]

    def show(self, image: Shaped[Tensor, "3 h w"]) -> Shaped[Tensor, "3 _ _"]:
        """Resize and flip an image to the view."""
        return self.turn(resize(image, self.size))

    def turn(self, maps: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """Flip maps horizontally if the view is flipped; a second call turns them back."""
        return maps.flip(-1) if self.flip else maps

    def to_view(self, boxes: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
        """Boxes (xyxy) from pixels of the image to pixels of the view."""
        boxes = rescale(boxes, self.original, self.size)
        return mirror(boxes, self.size[1]) if self.flip else boxes

    def from_view(self, boxes: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
        """Boxes (xyxy) from pixels of the view to pixels of the image."""
        boxes = mirror(boxes, self.size[1]) if self.flip else boxes
        return rescale(boxes, self.size, self.original)

    def finds(self, boxes: Float[Tensor, "n k 4"]) -> Bool[Tensor, "n k"]:
        """Whether objects as large as these boxes, in pixels of the image, are to be found in the view."""
        area = box_area(boxes.flatten(0, 1)).view(boxes.shape[:2])  # (n, k)
        found = [(area >= AREAS[name][0]) & (area < AREAS[name][1]) for name in self.areas]
        return torch.stack(found).any(dim=0) if found else torch.zeros_like(area, dtype=torch.bool)


@dataclass(frozen=True)
class Views:
    """Test-time augmentation: sizes and flips of an image, and the objects to find in each.

    The boxes of all views, in pixels of the image, go through one NMS; the mask of a detection is the mean of its masks
    in all views. Areas are in pixels of the image, which should come in its original size: the commands read it so,
    whatever `data.val_short_edge` is.

    Args:
        short_edges: shorter side of the image in each size, pixels.
        long_edge: greatest length of the longer side, pixels; where it would be longer, the whole image is shrunk.
        flip: whether every size is also used with a horizontal flip.
        areas: for every short edge the objects to find there, by the area of their box: "small" below 32² pixels,
            "large" from 96² pixels, "medium" between; None for all objects in all sizes.

    Raises:
        ValueError: no short edge, one that is not positive or above `long_edge`, not one entry of areas per short edge,
            an unknown area, or an area that no short edge has.
    """

    short_edges: Sequence[int]
    long_edge: int = 3000
    flip: bool = True
    areas: Sequence[Sequence[Area]] | None = None

    def __post_init__(self) -> None:
        if not self.short_edges:
            raise ValueError("short_edges is empty; give at least one length in pixels, e.g. [600, 800, 1000].")
        if not 0 < min(self.short_edges) <= max(self.short_edges) <= self.long_edge:
            raise ValueError(
                f"short_edges {list(self.short_edges)} must be positive and not above long_edge, {self.long_edge}."
            )
        if self.areas is not None:
            check_areas(self.areas, len(self.short_edges))

    def of(self, size: tuple[int, int]) -> list[View]:
        """Views of an image of some height and width."""
        areas = self.areas or [list(AREAS)] * len(self.short_edges)
        factors = [min(short_edge / min(size), self.long_edge / max(size)) for short_edge in self.short_edges]
        flips = (False, True) if self.flip else (False,)
        pairs = product(zip(factors, areas, strict=True), flips)
        return [View(size, scaled(*size, factor), flip, names) for (factor, names), flip in pairs]

    @torch.no_grad()
    def detect(self, model: Detector, image: Shaped[Tensor, "..."]) -> dict[str, Tensor]:
        """Detections in one image, in the detector's own form: best first, in pixels of the image.

        If the detector has masks, the pyramids of all views stay in memory until the masks are computed.

        Args:
            model: detector with RoI heads, in evaluation mode.
            image: (3, H, W) of any size, RGB, uint8 or float from 0 to 1.

        Raises:
            ValueError: a detector of another kind, such as torchvision's, or in training mode, or an image of another
                form.
        """
        model = check_model(model)
        if model.training:
            raise ValueError("views are for evaluation; call model.eval() first.")
        check_images([image])
        views = self.of((image.shape[1], image.shape[2]))
        pyramids, candidates = [], []
        for view in views:
            pyramid, boxes, scores = view_candidates(model, view, image)
            candidates.append((boxes, scores))
            if model.has_masks:
                pyramids.append(pyramid)
        detection = model.roi_heads.postprocess(*map(torch.cat, zip(*candidates, strict=True)))
        if not model.has_masks:
            return detection
        return detection | {"masks": mean_masks(model, views, pyramids, detection["boxes"], detection["labels"])}


def check_model(model: Detector) -> RCNN:
    """Return the detector if it supports views.

    Raises:
        ValueError: the detector has no RoI heads of ours.
    """
    if not isinstance(model, RCNN):
        raise ValueError(
            "views need a detector with RoI heads (MaskRCNN, CascadeMaskRCNN, HybridTaskCascade), got "
            f"{type(model).__name__}; leave views out."
        )
    return model


def view_candidates(
    model: RCNN, view: View, image: Shaped[Tensor, "3 h w"]
) -> tuple[list[Pyramid], Float[Tensor, "n k 4"], Float[Tensor, "n k_and_1"]]:
    """Pyramid and candidates of one view: boxes in pixels of the image, and scores.

    Boxes of a size that is not to be found in the view have score 0.
    """
    pyramid, proposals, _ = model.propose([view.show(image)], [view.size], None)
    ((boxes, scores),) = model.roi_heads.candidates(pyramid, proposals, [view.size])
    boxes = view.from_view(boxes)
    return pyramid, boxes, torch.cat([scores[:, :-1] * view.finds(boxes), scores[:, -1:]], dim=1)


def mean_masks(
    model: RCNN,
    views: Sequence[View],
    pyramids: Sequence[list[Pyramid]],
    boxes: Float[Tensor, "n 4"],
    labels: Int[Tensor, "n"],
) -> Float[Tensor, "n t t"]:
    """Masks of the detections in an image: mean of the masks from all views, each pooled from its pyramid."""
    masks = []
    for view, pyramid in zip(views, pyramids, strict=True):
        (seen,) = model.roi_heads.masks(pyramid, [view.to_view(boxes)], [labels])
        masks.append(view.turn(seen))
    return torch.stack(masks).mean(dim=0)


def check_areas(areas: Sequence[Sequence[str]], sizes: int) -> None:
    """Raise ValueError unless there is one list of known areas for each size, and each area is in at least one."""
    if len(areas) != sizes:
        raise ValueError(f"areas has {len(areas)} entries for {sizes} short_edges; give one list for each.")
    named = {name for names in areas for name in names}
    if unknown := named - AREAS.keys():
        raise ValueError(f"areas has {', '.join(sorted(unknown))}; give any of {', '.join(AREAS)}.")
    if missing := AREAS.keys() - named:
        raise ValueError(
            f"areas leaves {' and '.join(sorted(missing))} objects to no view, so they would never be found; "
            "add them to at least one."
        )


def rescale(boxes: Float[Tensor, "*n 4"], old: tuple[int, int], new: tuple[int, int]) -> Float[Tensor, "*n 4"]:
    """Boxes (xyxy) from pixels of an image of the old (height, width) to those of the same image resized."""
    return boxes * boxes.new_tensor([new[1] / old[1], new[0] / old[0]] * 2)


def mirror(boxes: Float[Tensor, "*n 4"], width: int) -> Float[Tensor, "*n 4"]:
    """Boxes (xyxy) after a horizontal flip of an image of that width."""
    left, top, right, bottom = boxes.unbind(dim=-1)
    return torch.stack([width - right, top, width - left, bottom], dim=-1)
