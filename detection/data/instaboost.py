"""InstaBoost: augmentation that moves the objects of an image a little (arXiv:1908.07801)."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torchvision.transforms import v2
from torchvision.tv_tensors import Image, Mask

from detection.data.origins import Origins
from detection.data.regions import cut_region, draw_regions
from detection.data.transforms import fit_boxes, keep_visible
from detection.detectors.semantic_branch import IGNORED

HALO = 7  # side of the square by which holes are dilated, pixels: annotated outlines run within their objects
FILL_SIDE = 320  # longest side of the image in which holes are filled, pixels
FILL_RADIUS = 3  # radius of the neighbourhood that fills a pixel, pixels
MARGIN = 2  # pixels around an object that is cut out; one this near to the border of the image counts as cut off
SOFTNESS = (3, 3)  # width and height of the blur at the border of a pasted object, pixels
JITTER = v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2)


@dataclass(frozen=True)
class InstaBoost:
    """Cut all objects out, fill the holes, and paste the objects nearby, scaled, rotated and in other colours.

    The defaults are those of HTC++. Smaller objects are pasted over larger ones. Objects cut off by the border of the
    image stay at it. An object that the others cover is dropped. In a semantic map the hole becomes 255 (ignored) and
    the pasted object keeps its class.

    Attributes:
        prob: probability that an image is changed, 0 to 1.
        scale: least and greatest scale of an object.
        shift: greatest shift to either side, as a share of the object's width or height.
        angle: greatest rotation to either side, degrees.
        color_prob: probability that an object gets another brightness, contrast and saturation, 0 to 1.

    Raises:
        ValueError: a number outside its range.
    """

    prob: float = 0.5
    scale: tuple[float, float] = (0.8, 1.2)
    shift: float = 1 / 15
    angle: float = 1.0
    color_prob: float = 0.5

    def __post_init__(self) -> None:
        """Raise unless all numbers are in their ranges."""
        if not (0 <= self.prob <= 1 and 0 <= self.color_prob <= 1):
            raise ValueError(f"prob {self.prob} and color_prob {self.color_prob} must be 0 to 1; 0 is never, 1 always.")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale {self.scale}: give [least, greatest], positive and ascending; e.g. [0.8, 1.2].")
        if min(self.shift, self.angle) < 0:
            raise ValueError(f"shift {self.shift} and angle {self.angle} are the greatest to either side: 0 or more.")

    def __call__(self, image: Image, target: dict[str, Any]) -> tuple[Image, dict[str, Any]]:
        """Augment an image (uint8) and its `boxes`, `labels`, `regions` and, if there is one, `semantic` map."""
        if float(torch.rand(())) >= self.prob:
            return image, target
        masks = draw_regions(target["regions"], target["origins"]).numpy()
        semantic = target["semantic"].numpy() if "semantic" in target else np.zeros(masks.shape[1:], np.uint8)
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        pixels, moved, classes = self._boost(pixels, masks, semantic)
        changed = target | {"regions": [*map(cut_region, moved)], "origins": Origins.whole(*moved.shape[1:])}
        changed |= {"semantic": Mask(torch.from_numpy(classes))} if "semantic" in target else {}
        return keep_visible(*fit_boxes(Image(torch.from_numpy(pixels).permute(2, 0, 1)), changed))

    def _boost(
        self, source: UInt8[np.ndarray, "h w 3"], masks: Bool[np.ndarray, "n h w"], semantic: UInt8[np.ndarray, "h w"]
    ) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "n h w"], UInt8[np.ndarray, "h w"]]:
        """Pixels, masks and semantic map with all objects moved."""
        hole, areas = np.logical_or.reduce(masks), masks.sum(axis=(1, 2))
        pixels, moved, classes = fill(source, hole), np.zeros_like(masks), np.where(hole, np.uint8(IGNORED), semantic)
        for index in np.argsort(-areas, kind="stable")[: np.count_nonzero(areas)]:  # from the largest to the smallest
            window, patch, alpha = self._move(source, masks[index])
            mask = alpha >= 0.5
            moved[:, *window] &= ~mask
            moved[index, *window] = mask
            classes[window][mask] = np.bincount(semantic[masks[index]]).argmax()
            soft = cv2.blur(alpha, SOFTNESS)
            pixels[window] = cv2.blendLinear(patch, pixels[window], soft, 1 - soft)
        return pixels, moved, classes

    def _move(
        self, pixels: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"]
    ) -> tuple[tuple[slice, slice], UInt8[np.ndarray, "p q 3"], Float[np.ndarray, "p q"]]:
        """Move an object: rows and columns of its new place, the pixels there, and the share of each that it covers."""
        left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
        start, end = np.array([left, top]), np.array([left + width, top + height])
        size = np.array(mask.shape[::-1])  # (x, y), as all that follows
        matrix = self._draw(start, end, size)
        first, last = np.maximum(start - MARGIN, 0), np.minimum(end + MARGIN, size)
        corners = np.array([[x, y, 1] for x in (first[0], last[0]) for y in (first[1], last[1])]) @ matrix.T  # (4, 2)
        begin = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
        stop = np.minimum(np.ceil(corners.max(axis=0)), size).astype(int)
        # The matrix maps edges of pixels in the image; OpenCV wants centres of pixels in the two windows.
        matrix[:, 2] += matrix[:, :2] @ (first + 0.5) - begin - 0.5
        patch = pixels[between(first, last)]
        if float(torch.rand(())) < self.color_prob:
            patch = JITTER(torch.from_numpy(patch).permute(2, 0, 1)).permute(1, 2, 0).numpy()
        patch, alpha = (
            cv2.warpAffine(values, matrix, (stop - begin).tolist(), borderMode=cv2.BORDER_REPLICATE)
            for values in (np.ascontiguousarray(patch), mask[between(first, last)].astype(np.float32))
        )
        return between(begin, stop), patch, alpha

    def _draw(
        self, start: Shaped[np.ndarray, "2"], end: Shaped[np.ndarray, "2"], size: Shaped[np.ndarray, "2"]
    ) -> Float[np.ndarray, "2 3"]:
        """Draw an affine map of the box between two corners, in an image of a size; all are (x, y) in pixels."""
        scale, turn, *shift = (torch.rand(4, dtype=torch.float64) * 2 - 1).tolist()
        factor = (self.scale[0] * (1 - scale) + self.scale[1] * (1 + scale)) / 2
        if ((start <= MARGIN) & (end >= size - MARGIN)).any():  # from one border to the opposite one
            factor = max(factor, 1.0)
        old, half = (start + end) / 2, (end - start) * factor / 2
        new = np.clip(old + np.array(shift) * self.shift * (end - start), 0, size)
        new = np.where(start <= MARGIN, np.minimum(new, half), new)
        new = np.where(end >= size - MARGIN, np.maximum(new, size - half), new)
        angle = np.deg2rad(turn * self.angle)
        linear = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.column_stack([linear, new - linear @ old])


def between(first: Shaped[np.ndarray, "2"], last: Shaped[np.ndarray, "2"]) -> tuple[slice, slice]:
    """Rows and columns between two corners (x, y)."""
    return slice(int(first[1]), int(last[1])), slice(int(first[0]), int(last[0]))


def fill(pixels: UInt8[np.ndarray, "h w 3"], hole: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Fill a hole from its surroundings (doi:10.1080/10867651.2004.10487596), at low resolution in large images."""
    height, width = hole.shape
    wide = cv2.dilate(hole.view(np.uint8), np.ones((HALO, HALO), np.uint8))
    factor = min(FILL_SIDE / max(height, width), 1)
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    small_hole = cv2.resize(wide.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    small = cv2.inpaint(small, small_hole.view(np.uint8), FILL_RADIUS, cv2.INPAINT_TELEA)
    filled = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(wide[..., None] > 0, filled, pixels)
