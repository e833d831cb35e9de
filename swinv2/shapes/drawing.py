"""Drawing of shapes with OpenCV: outlines, colours, textures. Pictures are RGB and float32, 0 to 255."""

import colorsys

import cv2
import numpy as np
from jaxtyping import Float, Float32

KINDS = ("circle", "rectangle", "star", "triangle")
CLUTTER = "cross"  # grey distractor of no class
TEXTURES = ("gradient", "noise", "stripes", "checker")

HUES = {"circle": 8.0, "rectangle": 215.0, "star": 300.0, "triangle": 110.0}  # mean, degrees
HUE_SPREAD = 15.0  # standard deviation, degrees
SUBPIXELS = 4  # per pixel and axis, averaged after drawing
SHIFT = 8  # fractional bits of OpenCV's coordinates


def outline(rng: np.random.Generator, kind: str) -> Float[np.ndarray, "corners 2"]:
    """Corners (x, y) of a shape of random proportions and rotation, about the origin and within radius 1."""
    if kind == "circle":
        angles, radii = 2 * np.pi / 64 * np.arange(64), np.ones(64)
    elif kind == "rectangle":
        slope = rng.uniform(0.35, 0.75)
        angles, radii = np.array([slope, np.pi - slope, np.pi + slope, -slope]), np.ones(4)
    elif kind == "star":
        angles, radii = np.pi / 5 * np.arange(10), np.tile([1, rng.uniform(0.4, 0.5)], 5)
    elif kind == "triangle":
        angles, radii = 2 * np.pi / 3 * np.arange(3) + rng.uniform(-0.25, 0.25, 3), np.ones(3)
    else:  # the cross: four arms, each with two outer corners and the inner corner that follows
        angles = (np.pi / 2 * np.arange(4)[:, None] + [-0.2, 0.2, np.pi / 4]).flatten()
        radii = np.tile([1, 1, 0.28], 4)
    angles = angles + rng.uniform(0, 2 * np.pi)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def coverage(corners: Float[np.ndarray, "corners 2"], size: int) -> Float32[np.ndarray, "{size} {size}"]:
    """Share of each pixel that a polygon covers, 0 to 1.

    Args:
        corners: x, y in pixels; (0, 0) is the upper left corner of the picture, not the centre of its first pixel.
        size: side of the square picture, pixels.
    """
    fine = np.zeros((size * SUBPIXELS, size * SUBPIXELS), np.uint8)
    points = np.round((corners * SUBPIXELS - 0.5) * 2**SHIFT).astype(np.int32)
    cv2.fillPoly(fine, [points], 255, shift=SHIFT)
    return cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def surface(rng: np.random.Generator, kind: str, alpha: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w 3"]:
    """Pixels of a shape that covers `alpha`: near its typical colour, with a shading, noise, and a darker rim."""
    along = ramp(alpha.shape, rng.uniform(0, 2 * np.pi))
    within = along[alpha > 0]
    shade = (along - within.mean()) / np.ptp(within) * rng.uniform(0.05, 0.4)
    rim = alpha - cv2.erode(alpha, np.ones((3, 3), np.uint8))
    light = (1 + shade) * (1 - rim / 2)
    return light[..., None] * typical_colour(rng, kind) + grain(rng, alpha.shape)


def typical_colour(rng: np.random.Generator, kind: str) -> Float32[np.ndarray, "3"]:
    """Random colour near the typical hue of a kind; grey for clutter."""
    if kind == CLUTTER:
        return np.full(3, rng.uniform(30, 225), np.float32)
    return colour(rng.normal(HUES[kind], HUE_SPREAD), rng.uniform(0.55, 1), rng.uniform(0.55, 1))


def ground(rng: np.random.Generator, texture: str, size: int) -> Float32[np.ndarray, "{size} {size} 3"]:
    """Background of one texture, mixed from two dull colours, one lighter than the other."""
    dark = rng.uniform(0.1, 0.5)
    light = dark + rng.uniform(0.2, 0.4)
    first, second = (colour(rng.uniform(0, 360), rng.uniform(0, 0.3), value) for value in (dark, light))
    mix = pattern(rng, texture, size)[..., None]
    return first + mix * (second - first) + grain(rng, (size, size))


def pattern(rng: np.random.Generator, texture: str, size: int) -> Float32[np.ndarray, "{size} {size}"]:
    """Share of the second colour in each pixel of a texture, 0 to 1."""
    if texture == "noise":
        cells = int(rng.integers(8, 17))
        coarse = rng.random((cells, cells), np.float32)
        return np.clip(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)
    angle = rng.uniform(0, 2 * np.pi)
    if texture == "gradient":
        return np.clip(0.5 + ramp((size, size), angle), 0, 1)
    waves = rng.uniform(4, 9)
    wave = np.sin(2 * np.pi * (waves * ramp((size, size), angle) + rng.random()))
    if texture == "checker":
        wave = wave * np.sin(2 * np.pi * (waves * ramp((size, size), angle + np.pi / 2) + rng.random()))
    return np.clip(0.5 + 4 * wave, 0, 1).astype(np.float32)


def ramp(shape: tuple[int, ...], angle: float) -> Float32[np.ndarray, "h w"]:
    """Distance of each pixel from the centre along a direction, in sides of the picture."""
    y, x = ((np.arange(side, dtype=np.float32) + 0.5) / side - 0.5 for side in shape)
    return np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y[:, None]


def grain(rng: np.random.Generator, shape: tuple[int, ...]) -> Float32[np.ndarray, "h w 1"]:
    """Grey noise of random strength, to add to a picture."""
    return np.float32(rng.uniform(2, 8)) * rng.standard_normal((*shape, 1), np.float32)


def colour(hue: float, saturation: float, value: float) -> Float32[np.ndarray, "3"]:
    """RGB of a hue in degrees, and a saturation and value of 0 to 1."""
    return 255 * np.array(colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value), np.float32)
