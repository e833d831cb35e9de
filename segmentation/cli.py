"""`swinv2 segmentation fit | validate | predict | windows`."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jsonargparse import Namespace

from segmentation import windows
from segmentation.data import Ade20kData, read_classes
from segmentation.task import SegmentationTask
from swinv2.shapes import make_segmentation
from swinv2.training.agreement import checkpoint_classes
from swinv2.training.cli import forget_start, run


def main(args: Sequence[str]) -> None:
    """Run a command.

    Args:
        args: the command line after `swinv2 segmentation`.
    """
    if args and args[0] == "windows":
        windows.main(args[1:], lambda options: main(["validate", *options]))
    else:
        run(SegmentationTask, Ade20kData, args, "segmentation", monitor="mIoU", complete=complete)


def complete(config: Namespace) -> None:
    """Fill in what other options say already: the number of classes, and that a checkpoint needs no other weights.

    Args:
        config: of one command, changed in place.

    Raises:
        FileNotFoundError: there is no such data.
        ValueError: the checkpoint or the class list is not what it should be.
    """
    segmenter, data = config.model.model.init_args, config.data
    if config.ckpt_path is not None:
        forget_start(config)
    if segmenter.num_classes is not None:
        return
    if config.ckpt_path is not None:
        checkpoint = torch.load(config.ckpt_path, map_location="cpu", weights_only=True, mmap=True)
        segmenter.num_classes = len(checkpoint_classes(checkpoint))
        return
    if data.shapes is not None:
        make_segmentation(Path(data.root), **vars(data.shapes))
    listed = read_classes(Path(data.root), data.classes, data.reduce_zero_label, data.ignore_index)
    segmenter.num_classes = len(listed.names)
