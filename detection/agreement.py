"""Whether model, data and checkpoint are meant for each other, asked before anything is computed."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from detection.data import CocoData
from detection.detector import Detector


def check_class_count(model: Detector, data: CocoData) -> None:
    """See that the model has as many classes as the data.

    Raises:
        ValueError: it has not.
    """
    if data.num_classes != model.num_classes:
        raise ValueError(
            f"The data has {data.num_classes} classes ({', '.join(data.class_names[:5])}, …), the model "
            f"{model.num_classes}; set model.model.init_args.num_classes to {data.num_classes}."
        )


def check_supervision(model: Detector, data: CocoData) -> None:
    """See that the training data has what the model learns from.

    Raises:
        ValueError: masks or semantic maps are missing.
    """
    if model.has_masks and data.train_set is not None and not data.train_set.annotations.has_masks:
        raise ValueError(
            f"{data.train_annotations} has boxes only, but the model has mask heads; set "
            "model.model.init_args.roi.masks to false, or give `segmentation` to every annotation."
        )
    if model.semantic_classes and data.semantic_maps is None:
        raise ValueError(
            f"The model has a semantic branch of {model.semantic_classes} classes, but the data no semantic maps; "
            "name their folder by data.semantic_maps, or set model.model.init_args.semantic_classes to 0."
        )


def checkpoint_classes(checkpoint: Mapping[str, Any]) -> list[str]:
    """Names of the classes of a detector's checkpoint.

    Raises:
        ValueError: it is a checkpoint of something else.
    """
    if "class_names" not in checkpoint:
        raise ValueError(
            "The checkpoint is not one of a detector trained here; to start from other weights, use --model.weights "
            "instead of --ckpt_path."
        )
    return checkpoint["class_names"]


def check_checkpoint(model: Detector, checkpoint: Mapping[str, Any]) -> None:
    """See that a checkpoint is of such a detector, with as many classes.

    Raises:
        ValueError: it is not.
    """
    names = checkpoint_classes(checkpoint)
    if len(names) != model.num_classes:
        raise ValueError(
            f"The checkpoint has {len(names)} classes ({', '.join(names[:5])}, …), the model "
            f"{model.num_classes}; set model.model.init_args.num_classes to {len(names)}, or start from its "
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
