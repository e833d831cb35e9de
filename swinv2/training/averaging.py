"""Weights averaged over a training, by Lightning's callbacks."""

from lightning import Trainer
from lightning.pytorch.callbacks import WeightAveraging


def averages_of(trainer: Trainer) -> list[WeightAveraging]:
    """The callbacks of a trainer that average weights.

    Raises:
        ValueError: one starts after the first step, although validation and checkpoints have its weights before.
    """
    averages = [callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging)]  # type: ignore[attr-defined]
    for average in averages:
        if not average.should_update(step_idx=0):
            raise ValueError(
                f"{type(average).__name__} starts after the first step, but its weights are validated and saved from "
                "the beginning: until then they would be those that the training started from. Leave "
                "update_starting_at_step out, and give update_every_n_steps 1 or more."
            )
    return averages
