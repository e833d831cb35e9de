"""`swinv2 detection fit | validate | predict`."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jsonargparse import Namespace

from detection.annotations import read_coco
from detection.data import CocoData
from detection.task import DetectionTask
from swinv2.shapes import make_detection
from swinv2.training.agreement import checkpoint_classes
from swinv2.training.cli import forget_start, run


def main(args: Sequence[str]) -> None:
    """Run a command.

    Args:
        args: the command line after `swinv2 detection`.
    """
    run(DetectionTask, CocoData, args, "detection", monitor="box/AP", complete=complete)


def complete(config: Namespace) -> None:
    """Fill in what other options say already.

    Args:
        config: of one command, changed in place.

    Raises:
        FileNotFoundError: there is no such data.
        ValueError: the checkpoint or the annotations are not what they should be.
    """
    count_classes(config)
    if config.ckpt_path is not None:
        forget_start(config)
        config.model.class_map = None
    if config.model.tiles is not None or config.model.views is not None:
        config.data.keep_size = True  # they take images as they are


def count_classes(config: Namespace) -> None:
    """Give a recipe without `num_classes` as many as its checkpoint has, or else its validation data.

    Args:
        config: of one command; its detector is changed in place.

    Raises:
        FileNotFoundError: there is no such data.
        ValueError: the checkpoint or the annotations are not what they should be.
    """
    detector, data = config.model.model.init_args, config.data
    if "num_classes" not in detector or detector.num_classes is not None:
        return
    if config.ckpt_path is not None:
        checkpoint = torch.load(config.ckpt_path, map_location="cpu", weights_only=True, mmap=True)
        detector.num_classes = len(checkpoint_classes(checkpoint))
        return
    if data.shapes is not None:
        make_detection(Path(data.root), **vars(data.shapes))
    detector.num_classes = len(read_coco(Path(data.root) / data.val_annotations)["categories"])
