"""Scenes of shapes in ADE20K's layout: label maps of textures and shapes as PNG, 0 for neither."""

from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from swinv2.shapes.build import Plan, make_once, save_image
from swinv2.shapes.drawing import CLUTTER, KINDS, TEXTURES
from swinv2.shapes.scenes import Scene, scene

CLASSES = TEXTURES + KINDS  # classes 1, 2, …; 0 is for all other pixels
FOLDERS = {"train": "training", "val": "validation"}


def make_segmentation(folder: Path, train: int = 1000, val: int = 200, size: int = 128, seed: int = 0) -> Path:
    """Make the segmentation data unless it is there: `{images,annotations}/{training,validation}` and `objectInfo.txt`.

    Args:
        folder: of the data.
        train: number of training pictures.
        val: number of validation pictures.
        size: side of the square pictures, pixels.
        seed: other seeds give other pictures.

    Raises:
        ValueError: a number is out of range.
        FileExistsError: the folder holds anything else.
    """
    return make_once(folder, Plan("segmentation", train, val, size, seed), write_segmentation)


def write_segmentation(folder: Path, plan: Plan) -> None:
    """Write pictures, label maps and the class list of all splits."""
    pixels = np.zeros(len(CLASSES) + 1, np.int64)
    appearances = {split: Counter[int]() for split in plan.splits}
    for split, count in plan.splits.items():
        images, annotations = (folder / kind / FOLDERS[split] for kind in ("images", "annotations"))
        images.mkdir(parents=True)
        annotations.mkdir(parents=True)
        for index in range(count):
            rng = plan.rng(split, index)
            made = scene(rng, plan.size, clutter=bool(rng.random() < 0.5))
            classes = class_map(made)
            save_image(images / f"{index + 1:08}.jpg", made.image)
            save_image(annotations / f"{index + 1:08}.png", classes)
            pixels += np.bincount(classes.flatten(), minlength=len(pixels))
            appearances[split].update(np.unique(classes).tolist())
    (folder / "objectInfo.txt").write_text(class_list(pixels[1:] / pixels.sum(), appearances))


def class_map(made: Scene) -> UInt8[np.ndarray, "h w"]:
    """Class of each pixel, 0 for visible clutter."""
    classes = made.textures + np.uint8(1)
    for instance in made.instances:
        classes[instance.mask] = 0 if instance.kind == CLUTTER else CLASSES.index(instance.kind) + 1
    return classes


def class_list(ratios: np.ndarray, appearances: dict[str, Counter[int]]) -> str:
    """Table of classes with the columns of ADE20K's objectInfo150.txt.

    Args:
        ratios: share of each class in all pixels, 0 to 1.
        appearances: number of pictures of each split that show a class.
    """
    rows = ["Idx\tRatio\tTrain\tVal\tStuff\tName"]
    for index, (name, ratio) in enumerate(zip(CLASSES, ratios, strict=True), start=1):
        seen = "\t".join(str(appearances[split][index]) for split in FOLDERS)
        rows.append(f"{index}\t{ratio:.4f}\t{seen}\t{int(name in TEXTURES)}\t{name}")
    return "\n".join(rows) + "\n"
