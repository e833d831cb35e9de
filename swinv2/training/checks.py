"""Checks that model, data and checkpoint fit each other, before anything is computed."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from torch import Tensor, nn

from ..backbone import SwinTransformerV2
from ..weights.tensor_files import read_file
from .runs.checkpoint_content import check_content

log = logging.getLogger(__name__)

OF_TRAINING = ("loss", "grad_norm")  # metrics that every training has
OF_CHECKPOINTS = ("epoch", "step")  # metrics that only ModelCheckpoint can monitor
NOT_OURS = (
    "is not one that this task has written; to start from other weights, use --model.weights instead of --ckpt_path."
)


def check_class_count(num_classes: int, class_names: Sequence[str]) -> None:
    """Raise unless a model has as many classes as the data.

    Raises:
        ValueError: the numbers differ.
    """
    if len(class_names) != num_classes:
        raise ValueError(
            f"The data has {len(class_names)} classes ({', '.join(class_names[:5])}, …), the model {num_classes}; set "
            f"model.model.init_args.num_classes to {len(class_names)}. If the model's number is that of --ckpt_path: "
            "the data must have the classes of the checkpoint, or training starts from its weights by --model.weights."
        )


def checkpoint_classes(checkpoint: Mapping[str, Any]) -> list[str]:
    """Class names in a checkpoint that a task has written.

    Raises:
        ValueError: no task has written it.
    """
    if "class_names" not in checkpoint:
        raise ValueError(f"The checkpoint {NOT_OURS}")
    return checkpoint["class_names"]


def read_classes(path: str) -> list[str]:
    """Class names in a checkpoint file.

    Raises:
        ValueError: it is no checkpoint, or no task has written it.
    """
    try:
        checkpoint = read_file(Path(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"The checkpoint {path} {NOT_OURS}") from error
    if "class_names" not in checkpoint:
        raise ValueError(f"The checkpoint {path} {NOT_OURS}")
    check_content(checkpoint, path)
    return checkpoint_classes(checkpoint)


def check_class_names(known: Sequence[str], saved: Sequence[str]) -> None:
    """Raise unless each label has the same name in checkpoint and data.

    Args:
        known: class names of the data; empty if there is no data.
        saved: class names of the checkpoint, as many.

    Raises:
        ValueError: a label has another name.
    """
    other = [(label, *names) for label, names in enumerate(zip(known, saved, strict=False)) if names[0] != names[1]]
    if other:
        label, ours, theirs = other[0]
        raise ValueError(
            f"The checkpoint was trained with other classes: label {label} is {theirs!r} there and {ours!r} in the "
            f"data, and {len(other)} labels differ in all; give the data its classes, or start from its weights by "
            "--model.weights."
        )


def check_windows(model: nn.Module, saved: Sequence[Sequence[int]]) -> None:
    """Warn if a checkpoint was trained with other windows than the model has now.

    Args:
        model: with a backbone.
        saved: window of each stage in the checkpoint, tokens along each axis.
    """
    now = backbone_of(model).window_size
    if [tuple(window) for window in saved] != now:
        texts = [", ".join("x".join(map(str, window)) for window in windows) for windows in (saved, now)]
        log.warning("The checkpoint was trained with windows %s; here they are %s.", *texts)


def backbone_of(model: nn.Module) -> SwinTransformerV2:
    """First backbone in a model."""
    return next(module for module in model.modules() if isinstance(module, SwinTransformerV2))


def check_checkpoint(model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
    """Raise unless a checkpoint has the tensors of a model and as many classes.

    Args:
        model: with `num_classes`.
        checkpoint: written by a task; the model's names start with "model.".

    Raises:
        ValueError: classes or tensors differ.
    """
    names, num_classes = checkpoint_classes(checkpoint), cast(int, model.num_classes)
    if len(names) != num_classes:
        raise ValueError(
            f"The checkpoint has {len(names)} classes ({', '.join(names[:5])}, …), the model "
            f"{num_classes}; set model.model.init_args.num_classes to {len(names)}, or start from its "
            "weights without its classifier by --model.weights."
        )
    check_tensors(model, checkpoint)


def check_tensors(model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
    """Raise unless a checkpoint has the tensors of a model and no others.

    Args:
        model: any.
        checkpoint: written by a task; the model's names start with "model.".

    Raises:
        ValueError: names or shapes differ.
    """
    own = model.state_dict()
    saved = {key.removeprefix("model."): value for key, value in checkpoint["state_dict"].items()}
    other = [key for key in own | saved if key not in own or key not in saved or shape(own[key]) != shape(saved[key])]
    if other:
        raise ValueError(
            f"The checkpoint is not one of this {type(model).__name__}: {len(other)} of {len(own | saved)} tensors are "
            f"in one of them only or of another shape, first {', '.join(other[:3])}; give the recipe that it was "
            "trained with, or start from what fits by --model.weights."
        )


def check_monitors(trainer: Trainer, metrics: Sequence[str]) -> None:
    """Raise unless the monitors of callbacks (early stopping, checkpoints) are metrics of the training or validation.

    Before the first step, metrics "train/…" are not known yet and any is accepted.

    Args:
        trainer: with its callbacks.
        metrics: of the validation; nothing is checked if it is empty.

    Raises:
        ValueError: a monitor is no metric of this run.
    """
    validates = trainer.limit_val_batches != 0
    trained = [name for name in trainer.callback_metrics if name.startswith("train/")]
    for callback in trainer.callbacks if metrics else ():  # type: ignore[attr-defined]
        name = getattr(callback, "monitor", None)
        if not isinstance(name, str) or name in (*OF_TRAINING, *trained):
            continue
        own = OF_CHECKPOINTS if isinstance(callback, ModelCheckpoint) else ()
        if name in own or (name.startswith("train/") and not trained) or (name in metrics and validates):
            continue
        known = [*metrics] if validates else ["none of a validation, which this run does not have"]
        raise ValueError(
            f"{type(callback).__name__} watches {name!r}, which never comes in this run; its metrics are "
            f"{', '.join([*known, *OF_TRAINING, *trained, *own])}. Set its monitor to one of them."
        )


def shape(value: Any) -> tuple[int, ...]:
    """Shape of a tensor; () for anything else that a state may hold."""
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def averages_of(trainer: Trainer) -> list[WeightAveraging]:
    """Callbacks of a trainer that average weights.

    Raises:
        ValueError: one starts after the first step, although its weights are validated and saved before.
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
