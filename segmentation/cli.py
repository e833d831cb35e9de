"""The command `swinv2 segmentation fit | validate | predict`."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import Namespace

from segmentation.data.ade20k_data import Ade20kData, read_classes
from segmentation.task import SegmentationTask
from swinv2.commands.task import run, start_from_checkpoint
from swinv2.shapes import make_segmentation


def main(args: Sequence[str]) -> None:
    """Run `fit`, `validate` or `predict`.

    Args:
        args: the command line after `swinv2 segmentation`.
    """
    run(SegmentationTask, Ade20kData, args, "segmentation", monitor="mIoU", complete=complete)


def complete(config: Namespace) -> None:
    """Fill in options that follow from others: the number of classes, and the weights.

    Args:
        config: options of one command, changed in place.

    Raises:
        FileNotFoundError: the class list is missing.
        ValueError: the checkpoint is of another task, or the class list is not valid.
    """
    start_from_checkpoint(config)
    segmenter, data = config.model.model.init_args, config.data
    if segmenter.num_classes is not None:
        return
    if data.shapes is not None:
        make_segmentation(Path(data.root), **vars(data.shapes))
    listed = read_classes(Path(data.root), data.classes, data.reduce_zero_label, data.ignore_index)
    segmenter.num_classes = len(listed.names)
