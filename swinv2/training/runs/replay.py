"""Inputs of a training step as a file, to compute it again: batches, weights, optimizer and random state."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import LightningModule
from torch import Tensor

from ...files.whole import write_torch

Plain = Tensor | Mapping[str, Any] | Sequence[Any] | str | int | float | bool | None


def save_replay(
    path: Path, module: LightningModule, batches: Sequence[Any], step: int, random_state: Tensor, loss: float
) -> None:
    """Write the inputs of a step to a file for `torch.load(path, weights_only=True)`.

    Its keys are `batches` (the arguments of `training_step`), `state_dict` of the module before the step,
    `optimizer_states`, `random_state` of the CPU for `torch.set_rng_state`, `step` and `loss`.

    Args:
        path: the file.
        module: with the weights before the step.
        batches: of the step.
        step: number of the step, from 1.
        random_state: of the CPU before the first of the batches.
        loss: of the last batch.

    Raises:
        OSError: the file cannot be written.
    """
    optimizers = module.optimizers()
    states = [one.state_dict() for one in (optimizers if isinstance(optimizers, list) else [optimizers])]
    content = {
        "batches": [plain(batch) for batch in batches],
        "state_dict": module.state_dict(),
        "optimizer_states": states,
        "random_state": random_state,
        "step": step,
        "loss": loss,
    }
    write_torch(path, content)


def plain(value: Any) -> Plain:
    """Batch reduced to tensors, mappings, sequences, texts and numbers, which `weights_only` can load.

    Args:
        value: a batch; any other object in it is replaced by its `repr`.
    """
    if isinstance(value, Tensor):
        return value.detach().cpu().as_subclass(Tensor)
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value)) if type(value) in (list, tuple) else [*map(plain, value)]
    return repr(value)
