"""The command `swinv2 video fit | validate | predict`."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import Namespace

from swinv2.commands.task import run, start_from_checkpoint
from swinv2.shapes import make_video
from video.data.kinetics_data import KineticsData
from video.data.naming import read_names
from video.task import VideoTask


def main(args: Sequence[str]) -> None:
    """Run `fit`, `validate` or `predict`.

    Args:
        args: the command line after `swinv2 video`.
    """
    run(VideoTask, KineticsData, args, "video", monitor="top1", complete=complete)


def complete(config: Namespace) -> None:
    """Fill in options that follow from others: the number of classes, and the weights.

    Args:
        config: options of one command, changed in place.

    Raises:
        FileNotFoundError: class names or training videos are missing.
        ValueError: the checkpoint is of another task, or the class names are not valid.
    """
    start_from_checkpoint(config)
    classifier, data = config.model.model.init_args, config.data
    if classifier.num_classes is not None:
        return
    if data.shapes is not None:
        make_video(Path(data.root), **vars(data.shapes))
    classifier.num_classes = len(read_names(Path(data.root), data.train, data.classes))
