"""RandAugment (arXiv 1909.13719) as the official training has it: timm's "rand-m9-mstd0.5-inc1".

An operation takes pixels and a strength from -1 to 1, whose sign is its direction if it has two. Operations on single
values are tables; they give Pillow's values exactly. The others are one call to OpenCV, several times faster than
Pillow or torchvision: Color and Sharpness within rounding, and what moves pixels within the difference of two bicubic
kernels.
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

STRONGEST = 10.0  # magnitude that is strength 1
PROBABILITY = 0.5  # of each operation that is drawn
LEVELS = np.arange(256)
FILL = tuple(round(255 * value) for value in IMAGENET_MEAN)  # what comes in at the border
SHEAR = 0.3  # pixels a pixel
SHIFT = 0.45  # of width or height
TURN = 30.0  # degrees
LUMA = np.array([0.299, 0.587, 0.114])
SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13


class RandAugment(v2.Transform):
    """Does some operations, drawn with replacement, each with probability 0.5.

    Args:
        magnitude: mean of the operations' magnitudes, 0 to 10.
        std: their standard deviation; what is drawn beyond 0 or 10 becomes that.
        count: how many are drawn.

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
        """Draw operations and strengths."""
        done = [int(one) for one in torch.randint(len(OPERATIONS), (self.count,)) if torch.rand(()) < PROBABILITY]
        names = list(OPERATIONS)
        return {"operations": [(names[one], self.strength()) for one in done]}

    def strength(self) -> float:
        """A magnitude as a share of the strongest, either sign as likely."""
        magnitude = self.magnitude + self.std * float(torch.randn(()))
        share = min(max(magnitude, 0.0), STRONGEST) / STRONGEST
        return share if torch.rand(()) < 0.5 else -share

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Change an image of 8 bits; anything else stays."""
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
    """Spread each channel so that all levels are as frequent."""
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
    """Make the lower half of the levels brighter."""
    return look_up(pixels, np.where(LEVELS < 128, LEVELS + int(abs(strength) * 110), LEVELS))


def brightness(pixels: Pixels, strength: float) -> Pixels:
    """Blend with black, or away from it."""
    return look_up(pixels, blending(0, strength))


def contrast(pixels: Pixels, strength: float) -> Pixels:
    """Blend with the mean grey, or away from it."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return look_up(pixels, blending(int(cv2.mean(grey)[0] + 0.5), strength))


def color(pixels: Pixels, strength: float) -> Pixels:
    """Blend with the grey image, or away from it."""
    kept = factor(strength)
    return cv2.transform(pixels, kept * np.eye(3) + (1 - kept) * LUMA)


def sharpness(pixels: Pixels, strength: float) -> Pixels:
    """Blend with the smoothed image, or away from it; the outermost pixels stay."""
    kernel = (1 - factor(strength)) * SMOOTH
    kernel[1, 1] += factor(strength)
    changed = pixels.copy()
    changed[1:-1, 1:-1] = cv2.filter2D(pixels, -1, kernel)[1:-1, 1:-1]
    return changed


def shear_x(pixels: Pixels, strength: float) -> Pixels:
    """Move rows sideways, the lower the farther."""
    return warp(pixels, [[1, SHEAR * strength, 0], [0, 1, 0]])


def shear_y(pixels: Pixels, strength: float) -> Pixels:
    """Move columns up or down, those on the right the farther."""
    return warp(pixels, [[1, 0, 0], [SHEAR * strength, 1, 0]])


def translate_x(pixels: Pixels, strength: float) -> Pixels:
    """Move the image sideways."""
    return warp(pixels, [[1, 0, SHIFT * strength * pixels.shape[1]], [0, 1, 0]])


def translate_y(pixels: Pixels, strength: float) -> Pixels:
    """Move the image up or down."""
    return warp(pixels, [[1, 0, 0], [0, 1, SHIFT * strength * pixels.shape[0]]])


def rotate(pixels: Pixels, strength: float) -> Pixels:
    """Turn the image about its middle, counter-clockwise for a positive strength."""
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
    """How much of an image is kept in a blend: 1 for no change, 0.1 to 1.9."""
    return max(0.1, 1 + 0.9 * strength)


def blending(grey: int, strength: float) -> Table:
    """The table of a blend with one grey, cut off to whole levels as Pillow does."""
    blended = np.float32(grey) + np.float32(factor(strength)) * (LEVELS - grey).astype(np.float32)
    return np.clip(blended, 0, 255).astype(np.uint8)


def histograms(pixels: Pixels) -> list[np.ndarray]:
    """How often each level occurs, by channel."""
    return [cv2.calcHist([pixels], [channel], None, [256], [0, 256]).ravel().astype(np.int64) for channel in range(3)]


def stretching(counts: np.ndarray) -> np.ndarray:
    """The table that stretches the levels of a channel to the whole range."""
    used = counts.nonzero()[0]
    low, high = used[0], used[-1]
    if low == high:
        return LEVELS
    scale = 255 / (high - low)
    return (LEVELS * scale - low * scale).astype(np.int64)


def equalizing(counts: np.ndarray) -> np.ndarray:
    """The table that makes the levels of a channel as frequent, in Pillow's whole numbers."""
    used = counts.nonzero()[0]
    step = (counts.sum() - counts[used[-1]]) // 255
    return LEVELS if step == 0 else (step // 2 + counts.cumsum() - counts) // step


def look_up(pixels: Pixels, table: np.ndarray) -> Pixels:
    """New values by old ones.

    Args:
        pixels: what is changed.
        table: (256,) or (256, 3), for each channel its own; limited to 8 bits here.
    """
    levels = np.clip(table, 0, 255).astype(np.uint8).reshape(256, -1)  # (256, 1 or 3)
    return cv2.LUT(pixels, np.ascontiguousarray(levels[None]))


def warp(pixels: Pixels, matrix: Any) -> Pixels:
    """Move pixels, bicubic.

    Args:
        pixels: what is moved.
        matrix: (2, 3), from places in the result to places in `pixels`; (0, 0) is the corner of the image.
    """
    placed: Float[np.ndarray, "2 3"] = np.array(matrix, dtype=np.float64)
    placed[:, 2] += placed[:, :2].sum(axis=1) / 2 - 0.5  # OpenCV's (0, 0) is the middle of a pixel
    height, width = pixels.shape[:2]
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        pixels, placed, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=FILL
    )
