"""Settings of the trainer that make no run, found before anything is built."""

import re
from collections.abc import Mapping
from math import isfinite

from jsonargparse import Namespace

from .recipe_files import WrongRecipeError

LEAST: Mapping[str, float] = {  # of each command's settings; the trainer itself takes less and stops late, or silently
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "num_nodes": 1,
    "gradient_clip_val": 0,
    "num_sanity_val_steps": -1,
}
NEEDED = {  # settings that leave a command nothing to do at 0
    "fit": ("max_epochs", "max_steps", "limit_train_batches"),
    "validate": ("limit_val_batches",),
    "predict": ("limit_predict_batches",),
}
DEVICES = re.compile(r"auto|-1|\d+(\s*,\s*\d*)*")
EDGES = ("size", "crop_size", "short_edge", "long_edge", "val_short_edge", "val_long_edge")  # pixels
MOST: Mapping[str, int] = {  # of settings of models and data, which beyond take all memory or processes, or crash
    **dict.fromkeys(("depths", "mask_head_convs", "sampling_ratio", "num_workers"), 1000),
    "frames": 10_000,
    **dict.fromkeys(EDGES, 1 << 16),
}
GREATEST = 2**63
GREATEST_SEED = 2**32 - 1  # NumPy's


def check_numbers(config: Namespace) -> None:
    """See that all numbers can be meant.

    Args:
        config: of one command.

    Raises:
        WrongRecipeError: one is not finite, beyond 64 bits, or far beyond use; the message names its key.
    """
    for key, value in config.items():  # of all levels
        most = MOST.get(key.rpartition(".")[2], GREATEST)
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, int) and most < number < GREATEST:
                raise WrongRecipeError(f"{key} is {number}; it can be {most:,} at most")
            if (isinstance(number, int) and abs(number) >= GREATEST) or (
                isinstance(number, float) and not isfinite(number)
            ):
                raise WrongRecipeError(f"{key} is {number}; it must be a finite number below 2**63")


def check_settings(config: Namespace, command: str) -> None:
    """See that the numbers of a trainer make a run.

    Args:
        config: of one command.
        command: fit, validate or predict.

    Raises:
        WrongRecipeError: one does not; the message names its key.
    """
    trainer, seed = config.trainer, config.get("seed_everything")
    for key, least in LEAST.items():
        if trainer[key] is not None and trainer[key] < least:
            raise WrongRecipeError(f"trainer.{key} is {trainer[key]}; it must be {least} or more")
    for key in NEEDED[command]:
        if trainer[key] == 0:
            raise WrongRecipeError(
                f"trainer.{key} is 0, so that {command} has nothing to do; give more, or leave it out"
            )
    if trainer.val_check_interval == 0:
        raise WrongRecipeError("trainer.val_check_interval is 0; give a number of batches, or a share of an epoch")
    if isinstance(trainer.devices, str) and not DEVICES.fullmatch(trainer.devices.strip()):
        raise WrongRecipeError(
            f"trainer.devices is '{trainer.devices}'; it must be auto, a number, or numbers such as 0,2"
        )
    if isinstance(seed, int) and not isinstance(seed, bool) and not 0 <= seed <= GREATEST_SEED:
        raise WrongRecipeError(f"seed_everything is {seed}; it must be a number from 0 to {GREATEST_SEED}, or false")
