"""Clips of one moving shape in Kinetics' layout: the class is the motion, which only the order of the frames shows.

A shape moves around a row of 17 positions, left or right, one or two positions per frame. As 17 is a prime number, all
four motions visit all positions, so that the set of frames does not tell the class.
"""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from swinv2.imaging.video_writer import write_video as write_movie
from swinv2.shapes.build import Plan, make_once
from swinv2.shapes.drawing import KINDS, coverage, ground, outline, surface

MOTIONS = {"left": -1, "right": 1, "fast left": -2, "fast right": 2}  # positions per frame
PLACES = 17  # positions across the picture, which wraps around at its borders
FRAMES = 2 * PLACES
FRAMES_PER_SECOND = 16.0


def make_video(folder: Path, train: int = 1000, val: int = 200, size: int = 128, seed: int = 0) -> Path:
    """Make the video data unless it is there: `{train,val}/*.mp4`, `train.txt`, `val.txt`, `classes.txt`.

    Args:
        folder: of the data.
        train: number of training clips.
        val: number of validation clips.
        size: side of the square frames, pixels.
        seed: other seeds give other clips.

    Raises:
        ValueError: a number is out of range.
        FileExistsError: the folder holds anything else.
    """
    return make_once(folder, Plan("video", train, val, size, seed), write_video)


def write_video(folder: Path, plan: Plan) -> None:
    """Write the clips and lists of all splits."""
    (folder / "classes.txt").write_text("\n".join(MOTIONS) + "\n")
    for split, count in plan.splits.items():
        (folder / split).mkdir()
        lines = []
        for index in range(count):
            name, label = f"{split}/{index:08}.mp4", index % len(MOTIONS)
            frames = clip(plan.rng(split, index), plan.size, list(MOTIONS)[label])
            write_movie(folder / name, frames, (plan.size, plan.size), FRAMES_PER_SECOND)
            lines.append(f"{name} {label}\n")
        (folder / f"{split}.txt").write_text("".join(lines))


def clip(rng: np.random.Generator, size: int, motion: str) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Frames of a shape, 12 to 25 % of the side in radius, that moves over a gradient from a random position."""
    still, kind = ground(rng, "gradient", size), str(rng.choice(KINDS))
    alpha = coverage(outline(rng, kind) * rng.uniform(0.12, 0.25) * size + size / 2, size)
    shape = np.dstack([surface(rng, kind, alpha) * alpha[..., None], alpha])  # (h, w, 4), centred
    x, y = rng.uniform(0, size, 2)
    frames = []
    for time in range(FRAMES):
        place = time * MOTIONS[motion] % PLACES
        shift = np.array([[1, 0, (x + place / PLACES * size) % size], [0, 1, y]])
        moved = cv2.warpAffine(shape, shift, (size, size), borderMode=cv2.BORDER_WRAP)
        frame = moved[..., :3] + (1 - moved[..., 3:]) * still
        frames.append(np.clip(np.round(frame), 0, 255).astype(np.uint8))
    return frames
