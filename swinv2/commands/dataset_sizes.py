"""How much data there is to train on, and how many classes it has: asked of the data, or known from its publication."""

from typing import NamedTuple

from jsonargparse import Namespace
from lightning import LightningDataModule

from ..shapes.ade20k import CLASSES
from ..shapes.drawing import KINDS
from ..shapes.kinetics import MOTIONS


class Published(NamedTuple):
    """A public data set.

    Attributes:
        name: what it is called.
        items: images or videos to train on.
        classes: how many it tells apart; 0 where labels are not used.
    """

    name: str
    items: int
    classes: int


class Size(NamedTuple):
    """Of training data.

    Attributes:
        items: images or videos.
        origin: where the number is from.
    """

    items: int
    origin: str


PUBLISHED = {  # by task and the name of the folder that recipes have the data in
    "classification": {
        "imagenet": Published("ImageNet-1K", 1_281_167, 1000),
        "imagenet22k": Published("ImageNet-22K, release of 2011", 14_197_122, 21_841),
        "imagenet22k_ext": Published("ImageNet-22K-ext, not public, as large as the paper says", 70_000_000, 21_841),
    },
    "simmim": {
        "imagenet": Published("ImageNet-1K", 1_281_167, 0),
        "imagenet22k": Published("ImageNet-22K, release of 2011", 14_197_122, 0),
        "imagenet22k_ext": Published("ImageNet-22K-ext, not public, as large as the paper says", 70_000_000, 0),
    },
    "detection": {
        "coco": Published("COCO 2017, images with objects", 117_266, 80),
        "objects365": Published("Objects365 v2", 1_742_289, 365),
    },
    "segmentation": {
        "ADEChallengeData2016": Published("ADE20K", 20_210, 150),
        "coco": Published("COCO-stuff 164k", 118_287, 171),
    },
    "video": {
        "kinetics400": Published("Kinetics-400, mmaction2's copy", 240_436, 400),
        "ssv2": Published("Something-Something V2", 168_913, 174),
    },
}
SHAPES = {  # classes of the sample data
    "classification": len(KINDS),
    "detection": len(KINDS),
    "segmentation": len(CLASSES),
    "video": len(MOTIONS),
}


def published(task: str, data: Namespace) -> Published | None:
    """The public data set that a recipe names by its folder; COCO has some images without objects.

    Args:
        task: name of the task.
        data: that part of the recipe.
    """
    known = PUBLISHED.get(task, {}).get(data.root.name)
    whole = task == "detection" and known is not None and data.root.name == "coco" and not data.filter_empty
    return Published("COCO 2017", 118_287, 80) if whole else known


def class_count(task: str, data: Namespace) -> int | None:
    """Number of classes where the data is not there to say it; None if it is not known.

    Args:
        task: name of the task.
        data: that part of the recipe.
    """
    known = published(task, data)
    return SHAPES.get(task) if data.shapes is not None else known.classes if known else None


def training_size(task: str, data: Namespace, module: LightningDataModule, given: int | None) -> Size:
    """Number of items to train on: given, else of the data if it is there, else as published.

    Args:
        task: name of the task.
        data: that part of the recipe.
        module: what the recipe makes of it; it is set up for training.
        given: the number, if the user says it.

    Raises:
        ValueError: the data is wrong, or it is not there and of no public data set.
    """
    if given is not None:
        return Size(given, "given by --items")
    try:
        module.setup("fit")
        return Size(len(module.train_set), f"found in {data.root}")  # type: ignore[attr-defined]
    except FileNotFoundError as error:
        if data.shapes is not None:
            return Size(data.shapes.train, "sample data")
        if known := published(task, data):
            return Size(known.items, f"{known.name}; there is none in {data.root}")
        raise ValueError(
            f"How much data there is is not known: {error} Say it by --items N, or give data.root the name of a public "
            f"data set: {', '.join(PUBLISHED.get(task, {}))}."
        ) from error
