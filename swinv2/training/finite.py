"""Weights and outputs that are no numbers, as those of a training that diverged."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn


class NotFiniteError(ValueError):
    """What a model says of an image is infinite or not a number.

    Args:
        path: of the image.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"The output of the model for {path} is not finite; in half precision numbers may become too large."
        )


def check_finite(checkpoint: Mapping[str, Any]) -> None:
    """See that the weights of a checkpoint are numbers.

    Raises:
        ValueError: some are not, as after a training that diverged.
    """
    if spoilt := not_finite(checkpoint["state_dict"]):
        raise ValueError(
            f"The checkpoint holds NaN or infinity in {len(spoilt)} tensors, first {spoilt[0]}: its training diverged. "
            "Give an earlier one."
        )


def not_finite(tensors: Mapping[str, Any]) -> list[str]:
    """Names of the tensors that hold NaN or infinity."""
    return [
        name
        for name, value in tensors.items()
        if isinstance(value, Tensor) and value.is_floating_point() and not bool(value.isfinite().all())
    ]


@contextmanager
def finite_outputs(model: nn.Module, path: Path) -> Iterator[None]:
    """Within it a model whose output is not finite raises NotFiniteError.

    Args:
        model: gives a tensor.
        path: of the image that it is asked about.
    """

    def check(module: nn.Module, args: Any, output: Tensor) -> None:
        if not bool(output.isfinite().all()):
            raise NotFiniteError(path)

    hook = model.register_forward_hook(check)
    try:
        yield
    finally:
        hook.remove()
