"""The command `swinv2 detection fit | validate | predict`."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import Namespace

from detection.data.coco_data import CocoData
from detection.data.coco_reader import index_file
from detection.task import DetectionTask
from swinv2.commands.task import run, start_from_checkpoint
from swinv2.shapes import make_detection


def main(args: Sequence[str]) -> None:
    """Run `fit`, `validate` or `predict`.

    Args:
        args: the command line after `swinv2 detection`.
    """
    run(DetectionTask, CocoData, args, "detection", monitor="box/AP", complete=complete)


def complete(config: Namespace) -> None:
    """Fill in options that follow from others: classes, image size, weights.

    Args:
        config: options of one command, changed in place.

    Raises:
        FileNotFoundError: the annotation file is missing.
        ValueError: the checkpoint is of another task, or the annotations are not valid.
    """
    start_from_checkpoint(config)
    if config.ckpt_path is not None:
        config.model.class_map = None
    if config.model.tiles is not None or config.model.views is not None:
        config.data.keep_size = True  # they need images in the size of their files
    count_classes(config)


def count_classes(config: Namespace) -> None:
    """Set `num_classes` to the number of categories in the data, if the recipe leaves it open.

    Args:
        config: options of one command; those of its detector are changed in place.

    Raises:
        FileNotFoundError: the annotation file is missing.
        ValueError: the annotations are not valid.
    """
    detector, data = config.model.model.init_args, config.data
    if "num_classes" not in detector or detector.num_classes is not None:
        return
    if data.shapes is not None:
        make_detection(Path(data.root), **vars(data.shapes))
    index = index_file(Path(data.root) / (data.val_annotations or data.train_annotations))
    detector.num_classes = len(index.categories)
