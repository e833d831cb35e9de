"""`swinv2 detection fit | validate | predict`."""

from collections.abc import Sequence

from detection.data import CocoData
from detection.task import DetectionTask
from swinv2.training.cli import run


def main(args: Sequence[str]) -> None:
    """Run a command.

    Args:
        args: the command line after `swinv2 detection`.
    """
    run(DetectionTask, CocoData, args, "detection", monitor="box/AP")
