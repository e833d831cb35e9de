"""The tasks of the command line: the module that runs each, and the task that a recipe is of."""

from collections.abc import Collection
from pathlib import Path

TASKS = {  # module that runs the command, and what it does
    "detection": ("detection.cli", "train, score and use detectors: fit, validate, predict"),
    "segmentation": ("segmentation.cli", "train, score and use segmenters: fit, validate, predict"),
    "video": ("video.cli", "train, score and use video classifiers: fit, validate, predict"),
    "classification": (
        "swinv2.classification.cli",
        "train, score and use image classifiers: fit, validate, predict",
    ),
    "simmim": ("swinv2.simmim.cli", "pre-train on images without labels: fit, validate, predict"),
    "windows": (
        "swinv2.commands.window_sweep",
        "score a classifier or segmenter with other windows than in training",
    ),
    "plan": ("swinv2.commands.plan", "print what a recipe would do: parameters, multiply-adds, steps, schedule"),
    "detectron2": ("detection.detectron2", "train and score in detectron2, where that is installed"),
}


def task_of(recipe: Path, tasks: Collection[str], advice: str) -> str:
    """The task of a recipe, by the folders that it is in.

    Args:
        recipe: its file.
        tasks: names of those that it may be of.
        advice: what to do if it is in the folder of none.

    Raises:
        ValueError: none of them has the name of a task.
    """
    found = [part for part in recipe.resolve().parts if part in tasks]
    if not found:
        raise ValueError(f"Of which task is {recipe}? It is in no folder {' or '.join(tasks)}; {advice}.")
    return found[-1]
