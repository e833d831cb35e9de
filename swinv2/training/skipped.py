"""Messages and errors about skipped files, and about validations and predictions without any result."""

import logging
from typing import Any

from lightning import LightningModule

from .distributed import gather

logger = logging.getLogger(__name__)


def skipped_lines(**datasets: Any) -> str:
    """Line for each data set with items that could not be read or used, with their number.

    All processes have to call this.

    Args:
        datasets: data sets, or None, by a name for their items such as "training_images"; one without `skipped`, which
            is not ours, has no line.
    """
    lines = []
    for what, dataset in datasets.items():
        if (flags := getattr(dataset, "skipped", None)) is not None:
            some = range(len(dataset) if len(flags) else 0)
            count = len(set().union(*gather({position for position in some if position in flags})))
            said = f"{count} of {len(dataset)} {what.replace('_', ' ')} could not be read or used"
            lines += [f"{said}; see the messages above\n"] if count else []
    return "".join(lines)


def check_scored(task: LightningModule, number: int, what: str) -> bool:
    """Whether a validation had anything to score; if not, a training only logs a warning.

    Args:
        task: under validation.
        number: of scored items, in all processes.
        what: name of an item, e.g. "image that can be read".

    Raises:
        ValueError: nothing was scored, outside of a training.
    """
    if number:
        return True
    said = f"There is no {what} to validate on, and so no score"
    if task.trainer.state.fn != "fit":
        raise ValueError(f"{said}; see the messages above.")
    logger.warning("%s of this epoch: it is logged as not a number.", said)
    return False


def nothing_predicted(number: int, what: str) -> ValueError:
    """Error for a prediction without any result; all processes have to call this.

    Args:
        number: of images whose outputs are not finite, in this process.
        what: name of the results, "results" or "pictures".
    """
    spoilt = sum(gather(number))
    if spoilt:
        return ValueError(
            f"The output of the model is not finite for any image that can be read, {spoilt} in all, so there are no "
            f"{what}: its training has diverged. Take an earlier checkpoint (--ckpt_path)."
        )
    return ValueError(f"None of the images could be read, so there are no {what}; see the messages above.")
