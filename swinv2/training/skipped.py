"""What a run says of files that it had to leave out, and where it could score or predict nothing."""

import logging
from typing import Any

from lightning import LightningModule

from .distributed import gather

logger = logging.getLogger(__name__)


def skipped_lines(**datasets: Any) -> str:
    """How many items of data sets could not be read or used, a line for each that had such.

    All processes have to call this.

    Args:
        datasets: by what their items are, "training_images"; with `skipped`, or None.
    """
    lines = []
    for what, dataset in datasets.items():
        if dataset is not None:
            some = range(len(dataset) if len(dataset.skipped) else 0)
            count = len(set().union(*gather({position for position in some if position in dataset.skipped})))
            said = f"{count} of {len(dataset)} {what.replace('_', ' ')} could not be read or used"
            lines += [f"{said}; see the messages above\n"] if count else []
    return "".join(lines)


def check_scored(task: LightningModule, number: int, what: str) -> bool:
    """Whether a validation had something to score; without, in a training the log says so, and the epoch is saved.

    Args:
        task: that is validated.
        number: of what was scored, in all processes.
        what: was asked for, e.g. "image that can be read".

    Raises:
        ValueError: there was nothing, and it is not the validation of a training.
    """
    if number:
        return True
    said = f"There is no {what} to validate on, and so no score"
    if task.trainer.state.fn != "fit":
        raise ValueError(f"{said}; see the messages above.")
    logger.warning("%s of this epoch: it is logged as not a number.", said)
    return False


def nothing_predicted(number: int, what: str) -> ValueError:
    """What is raised if a prediction has no result; all processes have to call this.

    Args:
        number: of the images whose outputs are not finite, in this process.
        what: there is none of, "results" or "pictures".
    """
    spoilt = sum(gather(number))
    if spoilt:
        return ValueError(
            f"The output of the model is not finite for any image that can be read, {spoilt} in all, so there are no "
            f"{what}: its training has diverged. Take an earlier checkpoint (--ckpt_path)."
        )
    return ValueError(f"None of the images could be read, so there are no {what}; see the messages above.")
