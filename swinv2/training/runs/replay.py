"""What a step was computed from, kept so that it can be computed again: batches, weights and random numbers."""

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
    """Write what a step was computed from; `torch.load(path, weights_only=True)` reads it.

    Its keys are `batches`, what `training_step` took, `state_dict` of the module before the step, `optimizer_states`,
    `random_state` of the CPU, which `torch.set_rng_state` takes, `step` and `loss`.

    Args:
        path: the file.
        module: whose weights are those before the step.
        batches: those of the step.
        step: its number, from 1.
        random_state: of the CPU before the first of the batches.
        loss: of the last batch.

    Raises:
        OSError: it cannot be written.
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
    """A batch of tensors, mappings, sequences, texts and numbers alone, which a file may hold without code.

    Args:
        value: a batch; of anything else in it the text remains.
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
