"""Checks for NaN and infinity in weights and outputs, as after a training that diverged."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class NotFiniteError(ValueError):
    """Error for an image whose output is NaN or infinite.

    Args:
        path: of the image.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"The output of the model for {path} is not finite; in half precision numbers may become too large."
        )


def check_finite(checkpoint: Mapping[str, Any]) -> None:
    """Raise if the weights of a checkpoint hold NaN or infinity.

    Raises:
        ValueError: they do, as after a training that diverged.
    """
    if spoilt := not_finite(checkpoint["state_dict"]):
        raise ValueError(
            f"The checkpoint holds NaN or infinity in {len(spoilt)} tensors, first {spoilt[0]}: its training diverged. "
            "Give an earlier one."
        )


def not_finite(tensors: Mapping[str, Any]) -> list[str]:
    """Names of the tensors that hold NaN or infinity; a GPU is waited for once."""
    floats = {name: value for name, value in tensors.items() if isinstance(value, Tensor) and value.is_floating_point()}
    if not floats:
        return []
    first = next(iter(floats.values()))
    sound = torch.stack([value.isfinite().all().to(first.device) for value in floats.values()]).tolist()
    return [name for name, is_sound in zip(floats, sound, strict=True) if not is_sound]


@contextmanager
def finite_outputs(model: nn.Module, path: Path) -> Iterator[None]:
    """Raise NotFiniteError within a `with` statement as soon as an output of the model is not finite.

    Args:
        model: its output is a tensor.
        path: of the input image.
    """

    def check(module: nn.Module, args: Any, output: Tensor) -> None:
        if not bool(output.isfinite().all()):
            raise NotFiniteError(path)

    hook = model.register_forward_hook(check)
    try:
        yield
    finally:
        hook.remove()
