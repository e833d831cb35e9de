"""Pictures of one shape each in torchvision's ImageFolder layout: `train/star/00000002.jpg`."""

from pathlib import Path

from swinv2.shapes.build import Plan, make_once, save_image
from swinv2.shapes.drawing import KINDS
from swinv2.shapes.scenes import empty_scene, place


def make_classification(folder: Path, train: int = 1000, val: int = 200, size: int = 128, seed: int = 0) -> Path:
    """Make the classification data unless it is there: balanced folders of the four kinds in `train` and `val`.

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
    return make_once(folder, Plan("classification", train, val, size, seed), write_classification)


def write_classification(folder: Path, plan: Plan) -> None:
    """Write the pictures of all splits."""
    for split, count in plan.splits.items():
        for kind in KINDS:
            (folder / split / kind).mkdir(parents=True)
        for index in range(count):
            rng, kind = plan.rng(split, index), KINDS[index % len(KINDS)]
            scene = empty_scene(rng, plan.size)
            while not place(rng, scene, kind, rng.uniform(0.2, 0.4) * plan.size):
                pass
            save_image(folder / split / kind / f"{index:08}.jpg", scene.image)
