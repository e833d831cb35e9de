"""Whether model, data and checkpoint are meant for each other, asked before anything is computed."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn


def check_class_count(num_classes: int, class_names: Sequence[str]) -> None:
    """See that a model has as many classes as the data.

    Raises:
        ValueError: it has not.
    """
    if len(class_names) != num_classes:
        raise ValueError(
            f"The data has {len(class_names)} classes ({', '.join(class_names[:5])}, …), the model {num_classes}; set "
            f"model.model.init_args.num_classes to {len(class_names)}."
        )


def checkpoint_classes(checkpoint: Mapping[str, Any]) -> list[str]:
    """Names of the classes of a checkpoint that a task has written.

    Raises:
        ValueError: it is a checkpoint of something else.
    """
    if "class_names" not in checkpoint:
        raise ValueError(
            "The checkpoint is not one that this task has written; to start from other weights, use --model.weights "
            "instead of --ckpt_path."
        )
    return checkpoint["class_names"]


def check_checkpoint(model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
    """See that a checkpoint is of such a model, with as many classes.

    Args:
        model: with `num_classes`.
        checkpoint: that a task has written; the model's names start with "model.".

    Raises:
        ValueError: it is not.
    """
    names, num_classes = checkpoint_classes(checkpoint), cast(int, model.num_classes)
    if len(names) != num_classes:
        raise ValueError(
            f"The checkpoint has {len(names)} classes ({', '.join(names[:5])}, …), the model "
            f"{num_classes}; set model.model.init_args.num_classes to {len(names)}, or start from its "
            "weights without its classifier by --model.weights."
        )
    own = model.state_dict()
    saved = {key.removeprefix("model."): value for key, value in checkpoint["state_dict"].items()}
    other = [key for key in own | saved if key not in own or key not in saved or shape(own[key]) != shape(saved[key])]
    if other:
        raise ValueError(
            f"The checkpoint is not one of this {type(model).__name__}: {len(other)} of {len(own | saved)} tensors are "
            f"in one of them only or of another shape, first {', '.join(other[:3])}; give the recipe that it was "
            "trained with, or start from what fits by --model.weights."
        )


def shape(value: Any) -> tuple[int, ...]:
    """Of a tensor, nothing of what else a state may hold."""
    return tuple(value.shape) if isinstance(value, Tensor) else ()
