"""Generated sample data: textured shapes in ImageFolder, COCO, ADE20K and Kinetics layout."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swinv2.shapes.ade20k import make_segmentation
from swinv2.shapes.coco import make_detection
from swinv2.shapes.image_folder import make_classification
from swinv2.shapes.kinetics import make_video

__all__ = [
    "TASKS",
    "Shapes",
    "make_classification",
    "make_detection",
    "make_segmentation",
    "make_video",
    "write_shapes",
]

TASKS = {
    "classification": make_classification,
    "detection": make_detection,
    "segmentation": make_segmentation,
    "video": make_video,
}


@dataclass
class Shapes:
    """Size of sample data, which is made if it is missing.

    Attributes:
        train: number of training pictures or clips.
        val: number of validation pictures or clips.
        size: side of the square pictures, pixels.
        seed: other seeds give other data.
    """

    train: int = 1000
    val: int = 200
    size: int = 128
    seed: int = 0


def write_shapes(
    root: Path,
    tasks: Sequence[str] = tuple(TASKS),
    train: int = 1000,
    val: int = 200,
    size: int = 128,
    seed: int = 0,
) -> Path:
    """Make the sample data of tasks, each in a folder of its name, unless it is there already.

    Args:
        root: folder to make them in, e.g. data/shapes.
        tasks: any of classification, detection, segmentation, video.
        train: number of training pictures or clips of each task, 1 or more.
        val: number of validation pictures or clips of each task, 1 or more.
        size: side of the square pictures in pixels, even, 32 or more.
        seed: other seeds give other data, 0 or more.

    Returns:
        The root.

    Raises:
        ValueError: a task is unknown or a number out of range.
        FileExistsError: the folder of a task holds anything else.
    """
    unknown = [task for task in tasks if task not in TASKS]
    if unknown:
        raise ValueError(f"No sample shapes for {', '.join(unknown)}; the tasks are {', '.join(TASKS)}.")
    for task in tasks:
        TASKS[task](root / task, train, val, size, seed)
    return root
