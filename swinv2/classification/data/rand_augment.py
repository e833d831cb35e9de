"""RandAugment (arXiv 1909.13719) as in the official training: timm's "rand-m9-mstd0.5-inc1".

An operation takes pixels and a strength from -1 to 1, whose sign is the direction if there are two. Operations on
single values are lookup tables and equal Pillow's results exactly. The others are one call to OpenCV each, several
times faster than Pillow or torchvision: Color and Sharpness equal Pillow's up to rounding, geometric operations up to
the difference of the two bicubic kernels.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torchvision.transforms import v2
from torchvision.tv_tensors import Image, wrap

from ...imaging.normalize import IMAGENET_MEAN

Pixels = UInt8[np.ndarray, "h w 3"]
Table = UInt8[np.ndarray, "256 *channels"]

STRONGEST = 10.0  # magnitude of strength 1
PROBABILITY = 0.5  # of each operation that is drawn
LEVELS = np.arange(256)
FILL = tuple(round(255 * value) for value in IMAGENET_MEAN)  # colour of pixels from beyond the border
SHEAR = 0.3  # pixels per pixel
SHIFT = 0.45  # of width or height
TURN = 30.0  # degrees
LUMA = np.array([0.299, 0.587, 0.114])
SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13


class RandAugment(v2.Transform):
    """Applies operations drawn with replacement, each with probability 0.5.

    Args:
        magnitude: mean of the operations' magnitudes, 0 to 10.
        std: standard deviation of the magnitudes, which are clipped to 0 to 10.
        count: number of operations drawn.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(self, magnitude: float = 9.0, std: float = 0.5, count: int = 2) -> None:
        super().__init__()
        if not 0 <= magnitude <= STRONGEST or std < 0 or count < 1:
            raise ValueError(
                f"RandAugment of magnitude {magnitude}, standard deviation {std} and {count} operations: give the "
                f"first from 0 to {STRONGEST:.0f}, a deviation from 0 and one operation or more, e.g. 9, 0.5 and 2."
            )
        self.magnitude = magnitude
        self.std = std
        self.count = count

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Random operations and their strengths."""
        done = [int(one) for one in torch.randint(len(OPERATIONS), (self.count,)) if torch.rand(()) < PROBABILITY]
        names = list(OPERATIONS)
        return {"operations": [(names[one], self.strength()) for one in done]}

    def strength(self) -> float:
        """Random magnitude as a share of the strongest, with a random sign."""
        magnitude = self.magnitude + self.std * float(torch.randn(()))
        share = min(max(magnitude, 0.0), STRONGEST) / STRONGEST
        return share if torch.rand(()) < 0.5 else -share

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Apply the operations to an image of 8 bits; anything else is returned unchanged."""
        if not isinstance(inpt, Image) or not params["operations"]:
            return inpt
        pixels = np.ascontiguousarray(inpt.permute(1, 2, 0).numpy())  # (height, width, 3)
        for name, strength in params["operations"]:
            pixels = OPERATIONS[name](pixels, strength)
        return wrap(torch.from_numpy(pixels).permute(2, 0, 1), like=inpt)


def auto_contrast(pixels: Pixels, strength: float) -> Pixels:
    """Stretch each channel to the whole range."""
    return look_up(pixels, np.stack([stretching(counts) for counts in histograms(pixels)], axis=-1))


def equalize(pixels: Pixels, strength: float) -> Pixels:
    """Equalize the histogram of each channel."""
    return look_up(pixels, np.stack([equalizing(counts) for counts in histograms(pixels)], axis=-1))


def invert(pixels: Pixels, strength: float) -> Pixels:
    """Negative of the image."""
    return look_up(pixels, 255 - LEVELS)


def posterize(pixels: Pixels, strength: float) -> Pixels:
    """Keep the upper four bits, or fewer."""
    bits = 4 - int(abs(strength) * 4)
    return look_up(pixels, LEVELS & -(1 << (8 - bits)))


def solarize(pixels: Pixels, strength: float) -> Pixels:
    """Invert the levels above a threshold."""
    threshold = 256 - int(abs(strength) * 256)
    return look_up(pixels, np.where(threshold > LEVELS, LEVELS, 255 - LEVELS))


def solarize_add(pixels: Pixels, strength: float) -> Pixels:
    """Brighten the lower half of the levels."""
    return look_up(pixels, np.where(LEVELS < 128, LEVELS + int(abs(strength) * 110), LEVELS))


def brightness(pixels: Pixels, strength: float) -> Pixels:
    """Blend with black, or extrapolate away from it."""
    return look_up(pixels, blending(0, strength))


def contrast(pixels: Pixels, strength: float) -> Pixels:
    """Blend with the mean grey, or extrapolate away from it."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return look_up(pixels, blending(int(cv2.mean(grey)[0] + 0.5), strength))


def color(pixels: Pixels, strength: float) -> Pixels:
    """Blend with the grey image, or extrapolate away from it."""
    kept = factor(strength)
    return cv2.transform(pixels, kept * np.eye(3) + (1 - kept) * LUMA)


def sharpness(pixels: Pixels, strength: float) -> Pixels:
    """Blend with the smoothed image, or extrapolate away from it; border pixels stay."""
    kernel = (1 - factor(strength)) * SMOOTH
    kernel[1, 1] += factor(strength)
    changed = pixels.copy()
    changed[1:-1, 1:-1] = cv2.filter2D(pixels, -1, kernel)[1:-1, 1:-1]
    return changed


def shear_x(pixels: Pixels, strength: float) -> Pixels:
    """Shear the image horizontally."""
    return warp(pixels, [[1, SHEAR * strength, 0], [0, 1, 0]])


def shear_y(pixels: Pixels, strength: float) -> Pixels:
    """Shear the image vertically."""
    return warp(pixels, [[1, 0, 0], [SHEAR * strength, 1, 0]])


def translate_x(pixels: Pixels, strength: float) -> Pixels:
    """Shift the image horizontally."""
    return warp(pixels, [[1, 0, SHIFT * strength * pixels.shape[1]], [0, 1, 0]])


def translate_y(pixels: Pixels, strength: float) -> Pixels:
    """Shift the image vertically."""
    return warp(pixels, [[1, 0, 0], [0, 1, SHIFT * strength * pixels.shape[0]]])


def rotate(pixels: Pixels, strength: float) -> Pixels:
    """Rotate the image about its centre, counter-clockwise for a positive strength."""
    centre = np.array([pixels.shape[1], pixels.shape[0]]) / 2
    angle = np.deg2rad(TURN * strength)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return warp(pixels, np.column_stack([turn, centre - turn @ centre]))


OPERATIONS: dict[str, Callable[[Pixels, float], Pixels]] = {
    "AutoContrast": auto_contrast,
    "Equalize": equalize,
    "Invert": invert,
    "Rotate": rotate,
    "Posterize": posterize,
    "Solarize": solarize,
    "SolarizeAdd": solarize_add,
    "Color": color,
    "Contrast": contrast,
    "Brightness": brightness,
    "Sharpness": sharpness,
    "ShearX": shear_x,
    "ShearY": shear_y,
    "TranslateX": translate_x,
    "TranslateY": translate_y,
}


def factor(strength: float) -> float:
    """Weight of the image in a blend, 0.1 to 1.9; 1 for no change."""
    return max(0.1, 1 + 0.9 * strength)


def blending(grey: int, strength: float) -> Table:
    """Lookup table of a blend with one grey, truncated to integers as in Pillow."""
    blended = np.float32(grey) + np.float32(factor(strength)) * (LEVELS - grey).astype(np.float32)
    return np.clip(blended, 0, 255).astype(np.uint8)


def histograms(pixels: Pixels) -> list[np.ndarray]:
    """Number of pixels of each level, by channel."""
    return [cv2.calcHist([pixels], [channel], None, [256], [0, 256]).ravel().astype(np.int64) for channel in range(3)]


def stretching(counts: np.ndarray) -> np.ndarray:
    """Lookup table that stretches the levels of a channel to the whole range."""
    used = counts.nonzero()[0]
    low, high = used[0], used[-1]
    if low == high:
        return LEVELS
    scale = 255 / (high - low)
    return (LEVELS * scale - low * scale).astype(np.int64)


def equalizing(counts: np.ndarray) -> np.ndarray:
    """Lookup table that equalizes the histogram of a channel, in Pillow's integer arithmetic."""
    used = counts.nonzero()[0]
    step = (counts.sum() - counts[used[-1]]) // 255
    return LEVELS if step == 0 else (step // 2 + counts.cumsum() - counts) // step


def look_up(pixels: Pixels, table: np.ndarray) -> Pixels:
    """Map values by a lookup table.

    Args:
        pixels: to map.
        table: (256,), or (256, 3) with a column per channel; clipped to 8 bits.
    """
    levels = np.clip(table, 0, 255).astype(np.uint8).reshape(256, -1)  # (256, 1 or 3)
    return cv2.LUT(pixels, np.ascontiguousarray(levels[None]))


def warp(pixels: Pixels, matrix: Any) -> Pixels:
    """Apply an affine map with bicubic interpolation.

    Args:
        pixels: to warp.
        matrix: (2, 3), from coordinates in the result to coordinates in `pixels`; (0, 0) is the corner of the image.
    """
    placed: Float[np.ndarray, "2 3"] = np.array(matrix, dtype=np.float64)
    placed[:, 2] += placed[:, :2].sum(axis=1) / 2 - 0.5  # OpenCV's (0, 0) is the centre of a pixel
    height, width = pixels.shape[:2]
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        pixels, placed, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=FILL
    )
