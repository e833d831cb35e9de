"""Scenes of overlapping shapes on a textured background, with the visible mask of each shape."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from swinv2.shapes.drawing import CLUTTER, KINDS, TEXTURES, coverage, ground, outline, ramp, surface

ATTEMPTS = 10  # to find a place for a shape
LEAST_VISIBLE = 0.5  # of a shape's whole area


@dataclass(frozen=True, eq=False)
class Instance:
    """Shape of a scene, or a crowd of small shapes.

    Attributes:
        kind: one of `KINDS` or `CLUTTER`.
        mask: visible pixels.
        whole: area without occlusion and borders, pixels.
        crowd: whether it is many shapes of one kind that are not told apart.
    """

    kind: str
    mask: Bool[np.ndarray, "h w"]
    whole: float
    crowd: bool = False


@dataclass(eq=False)
class Scene:
    """Picture and the shapes in it, which are added from back to front.

    Attributes:
        canvas: the picture, RGB, 0 to 255.
        textures: texture of the background at each pixel, as an index of `TEXTURES`.
        instances: the shapes, from back to front.
    """

    canvas: Float32[np.ndarray, "h w 3"]
    textures: UInt8[np.ndarray, "h w"]
    instances: list[Instance] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Side of the picture in pixels."""
        return len(self.canvas)

    @property
    def image(self) -> UInt8[np.ndarray, "h w 3"]:
        """Finished picture, RGB."""
        return np.clip(np.round(self.canvas), 0, 255).astype(np.uint8)

    def add(
        self, rng: np.random.Generator, kind: str, parts: Sequence[Float32[np.ndarray, "h w"]], whole: float
    ) -> None:
        """Paint a shape, or a crowd of several parts, over all others, and update their visible masks.

        Args:
            rng: random generator.
            kind: one of `KINDS` or `CLUTTER`.
            parts: share of each pixel that each part covers, 0 to 1.
            whole: whole area, visible or not, pixels.
        """
        for alpha in parts:
            self.canvas += alpha[..., None] * (surface(rng, kind, alpha) - self.canvas)
        mask = np.max(parts, axis=0) >= 0.5
        self.instances = [replace(other, mask=other.mask & ~mask) for other in self.instances]
        self.instances.append(Instance(kind, mask, whole, crowd=len(parts) > 1))


def scene(rng: np.random.Generator, size: int, crowd: bool = False, clutter: bool = False) -> Scene:
    """Scene of two to six shapes of any kind, with radii of 10 to 30 % of the side, on a textured background.

    At least half of each shape is visible; shapes without a place are left out.

    Args:
        rng: random generator.
        size: side of the square picture, pixels.
        crowd: put a crowd of small shapes behind the others.
        clutter: put a distractor among them.
    """
    made = empty_scene(rng, size)
    if crowd:
        place_crowd(rng, made, str(rng.choice(KINDS)))
    kinds = [str(kind) for kind in rng.choice(KINDS, rng.integers(2, 7))]
    for kind in kinds[:1] + [CLUTTER] * clutter + kinds[1:]:
        place(rng, made, kind, rng.uniform(0.1, 0.3) * size)
    return made


def empty_scene(rng: np.random.Generator, size: int) -> Scene:
    """Background of one texture, or of two on either side of a straight line."""
    first, second = (int(texture) for texture in rng.choice(len(TEXTURES), 2, replace=False))
    made = Scene(ground(rng, TEXTURES[first], size), np.full((size, size), first, np.uint8))
    if rng.random() < 0.5:
        beyond = ramp((size, size), rng.uniform(0, 2 * np.pi)) - np.float32(rng.uniform(-0.2, 0.2))  # in sides
        alpha = np.clip(beyond * size + 0.5, 0, 1)
        made.canvas += alpha[..., None] * (ground(rng, TEXTURES[second], size) - made.canvas)
        made.textures[alpha >= 0.5] = second
    return made


def place(rng: np.random.Generator, made: Scene, kind: str, radius: float) -> bool:
    """Add a shape at a place where at least half of it and of every other shape is visible.

    Args:
        rng: random generator.
        made: the scene to add to.
        kind: one of `KINDS` or `CLUTTER`.
        radius: of the circle around the shape, pixels.

    Returns:
        Whether such a place was found.
    """
    corners = outline(rng, kind) * radius
    whole = float(coverage(corners + made.size / 2, made.size).sum())
    for _ in range(ATTEMPTS):
        alpha = coverage(corners + rng.uniform(0, made.size, 2), made.size)
        mask = alpha >= 0.5
        others_show = all((other.mask & ~mask).sum() >= LEAST_VISIBLE * other.whole for other in made.instances)
        if others_show and mask.sum() >= LEAST_VISIBLE * whole:
            made.add(rng, kind, [alpha], whole)
            return True
    return False


def place_crowd(rng: np.random.Generator, made: Scene, kind: str) -> None:
    """Add a crowd: 12 to 20 shapes of one kind, with radii of 3 to 6 % of the side, close together."""
    middle = rng.uniform(0.25, 0.75, 2)
    centres = np.clip(rng.normal(middle, 0.1, (rng.integers(12, 21), 2)), 0, 1) * made.size
    radii = rng.uniform(0.03, 0.06, len(centres)) * made.size
    parts = [
        coverage(outline(rng, kind) * radius + centre, made.size) for centre, radius in zip(centres, radii, strict=True)
    ]
    made.add(rng, kind, parts, float(np.max(parts, axis=0).sum()))
