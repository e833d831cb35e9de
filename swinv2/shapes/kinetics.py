"""Clips of one moving shape with lists as for Kinetics. The class is the motion: no single frame tells it."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from swinv2.shapes.build import Plan, make_once
from swinv2.shapes.drawing import KINDS, coverage, outline, surface
from swinv2.shapes.scenes import empty_scene

DIRECTIONS = {"left": 180.0, "right": 0.0, "up": 270.0, "down": 90.0}  # degrees, clockwise in the picture
FRAMES = 32
FRAMES_PER_SECOND = 16.0


def make_video(folder: Path, train: int = 1000, val: int = 200, size: int = 128, seed: int = 0) -> Path:
    """Make the video data unless it is there: `{train,val}/*.mp4`, `train.txt`, `val.txt`, `classes.txt`.

    Args:
        folder: where it shall be.
        train: number of clips to learn from.
        val: number of clips to be scored on.
        size: side of the square frames, pixels.
        seed: other seeds give other clips.

    Raises:
        ValueError: if a number is out of range.
        FileExistsError: if the folder holds anything else.
    """
    return make_once(folder, Plan("video", train, val, size, seed), write_video)


def write_video(folder: Path, plan: Plan) -> None:
    """Write the clips and lists of all splits."""
    (folder / "classes.txt").write_text("\n".join(DIRECTIONS) + "\n")
    for split, count in plan.splits.items():
        (folder / split).mkdir()
        lines = []
        for index in range(count):
            name, label = f"{split}/{index:08}.mp4", index % len(DIRECTIONS)
            frames = clip(plan.rng(split, index), plan.size, list(DIRECTIONS)[label])
            save_clip(folder / name, frames)
            lines.append(f"{name} {label}\n")
        (folder / f"{split}.txt").write_text("".join(lines))


def clip(rng: np.random.Generator, size: int, direction: str) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Frames of a shape that moves over a ground; what leaves at one border comes in at the opposite one.

    It starts anywhere and moves 1.5 to 3 % of the side per frame, up to 15 degrees off its direction.
    """
    made, kind = empty_scene(rng, size), str(rng.choice(KINDS))
    alpha = coverage(outline(rng, kind) * rng.uniform(0.12, 0.25) * size + size / 2, size)
    shape = np.dstack([surface(rng, kind, alpha) * alpha[..., None], alpha])  # (h, w, 4), in the middle
    start = rng.uniform(0, size, 2)
    angle = np.deg2rad(DIRECTIONS[direction] + rng.uniform(-15, 15))
    step = np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(0.015, 0.03) * size
    frames = []
    for time in range(FRAMES):
        shift = np.column_stack([np.eye(2), (start + time * step) % size])  # (2, 3)
        moved = cv2.warpAffine(shape, shift, (size, size), borderMode=cv2.BORDER_WRAP)
        frame = moved[..., :3] + (1 - moved[..., 3:]) * made.canvas
        frames.append(np.clip(np.round(frame), 0, 255).astype(np.uint8))
    return frames


def save_clip(path: Path, frames: list[UInt8[np.ndarray, "h w 3"]]) -> None:
    """Encode RGB frames as MPEG-4.

    Raises:
        OSError: if the file cannot be written, or not all of it.
    """
    height, width, _ = frames[0].shape
    codec = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, FRAMES_PER_SECOND, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    written = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    count = int(written.get(cv2.CAP_PROP_FRAME_COUNT))
    written.release()
    if count != len(frames):
        raise OSError(
            f"OpenCV could not write all {len(frames)} frames of {path}; is the disk full, or the folder missing?"
        )
