"""`swinv2 classification fit | validate | predict`."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import Namespace

from ..commands.task import run, start_from_checkpoint
from ..shapes import make_classification
from .data.imagenet_data import ImageNetData, read_names
from .task import ClassificationTask


def main(args: Sequence[str]) -> None:
    """Run a command.

    Args:
        args: the command line after `swinv2 classification`.
    """
    run(ClassificationTask, ImageNetData, args, "classification", monitor="top1", complete=complete)


def complete(config: Namespace) -> None:
    """Fill in the number of classes, if the recipe leaves it open, from the checkpoint or the data.

    Args:
        config: of one command, changed in place.

    Raises:
        FileNotFoundError: there is no such data.
        ValueError: the checkpoint or the file of class names is of another kind.
    """
    start_from_checkpoint(config)
    if config.ckpt_path is not None:
        config.model.head_rows = None  # rows of weights that the checkpoint replaces
    classifier, data = config.model.model.init_args, config.data
    if classifier.num_classes is not None:
        return
    if data.shapes is not None:
        make_classification(Path(data.root), **vars(data.shapes))
    classifier.num_classes = len(read_names(Path(data.root), data.train, data.classes))
