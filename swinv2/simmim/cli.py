"""`swinv2 simmim fit | validate | predict`."""

from collections.abc import Sequence

from jsonargparse import Namespace

from ..commands.task import run
from .data import SimMIMData
from .task import SimMIMTask


def main(args: Sequence[str]) -> None:
    """Run a command.

    Args:
        args: the command line after `swinv2 simmim`.
    """
    run(SimMIMTask, SimMIMData, args, "simmim", monitor="val_loss", complete=complete, mode="min")


def complete(config: Namespace) -> None:
    """Remove initial weights from the configuration if there is a checkpoint.

    Args:
        config: of one command, changed in place.
    """
    if config.ckpt_path is not None:
        config.model.weights = config.model.model.init_args.backbone.weights = None
