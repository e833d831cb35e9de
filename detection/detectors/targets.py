"""Checks of a detector's training targets: `boxes`, `labels`, `masks`, `semantic`, as `Detector.forward` takes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat

from detection.detectors.semantic_branch import IGNORED

WITHOUT = {
    "masks": " or take a model without mask head",
    "semantic": " (data.semantic_maps names their folder) or set semantic_classes to 0",
}


def check_targets(
    images: Sequence[Tensor],
    targets: Sequence[Mapping[str, Any]] | None,
    num_classes: int,
    with_masks: bool,
    semantic_classes: int = 0,
) -> list[dict[str, Tensor]]:
    """Check targets and return them as plain tensors on the device of the images.

    Numbers are checked on a CPU only: a GPU would be waited for.

    Args:
        images: the images of the batch.
        targets: per image `boxes`, `labels`, with masks `masks`, and for messages `image_id`.
        num_classes: number of classes of the model.
        with_masks: whether the model learns masks.
        semantic_classes: number of classes of the semantic maps that the model learns from, 0 without semantic branch.

    Raises:
        ValueError: there is not one target per image, a key is missing, labels are out of range, boxes are not xyxy of
            positive size, or masks or maps do not fit the boxes or the image.
        TypeError: labels are not int64.
    """
    if targets is None:
        raise ValueError("training needs targets, got None; for detections call model.eval() first.")
    if len(targets) != len(images):
        raise ValueError(f"got {len(targets)} targets for {len(images)} images; give one per image.")
    names = [f"image {target.get('image_id', i)}" for i, target in enumerate(targets)]
    return [
        check_target(*given, num_classes, with_masks, semantic_classes)
        for given in zip(images, targets, names, strict=True)
    ]


def check_target(
    image: Tensor, target: Mapping[str, Any], name: str, num_classes: int, with_masks: bool, semantic_classes: int
) -> dict[str, Tensor]:
    """Check the target of one image and return it as plain tensors; errors call the image `name`."""
    needed = ["boxes", "labels", *["masks"] * with_masks, *["semantic"] * (semantic_classes > 0)]
    missing = [key for key in needed if key not in target]
    if missing:
        hint = next((WITHOUT[key] for key in missing if key in WITHOUT), "")
        raise ValueError(f"{name} has no {' or '.join(missing)} in its target; add them{hint}.")
    check_boxes(target["boxes"], name)
    check_labels(target["labels"], len(target["boxes"]), name, num_classes)
    if with_masks:
        wanted = (len(target["boxes"]), *image.shape[-2:])
        if tuple(target["masks"].shape) != wanted:
            raise ValueError(
                f"{name} has masks of shape {tuple(target['masks'].shape)}; its boxes and size need {wanted}."
            )
    if semantic_classes:
        check_semantic(target["semantic"], image.shape[-2:], name, semantic_classes)
    plain = {key: target[key].as_subclass(Tensor).to(image.device) for key in needed}
    return plain | {"boxes": plain["boxes"].float()}


def check_boxes(boxes: Tensor, name: str) -> None:
    """Raise ValueError unless boxes are (n, 4), xyxy, finite and of positive size."""
    if isinstance(boxes, BoundingBoxes) and boxes.format != BoundingBoxFormat.XYXY:
        raise ValueError(f"{name} has boxes in {boxes.format.value}; convert them to XYXY.")
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name} has boxes of shape {tuple(boxes.shape)}; give (objects, 4), also for no objects.")
    wrong = ~(boxes[:, 2:] > boxes[:, :2]).all(dim=1) | ~boxes.isfinite().all(dim=1)
    if wrong.device.type == "cpu" and wrong.any():
        raise ValueError(
            f"{name} has box {boxes[wrong][0].tolist()}; boxes are x1, y1, x2, y2 with x1 < x2 and y1 < y2."
        )


def check_labels(labels: Tensor, boxes: int, name: str, num_classes: int) -> None:
    """Raise TypeError or ValueError unless there is one int64 from 0 to `num_classes` - 1 per box."""
    if labels.dtype != torch.int64:
        raise TypeError(f"{name} has labels of type {labels.dtype}; give int64.")
    if labels.shape != (boxes,):
        raise ValueError(f"{name} has labels of shape {tuple(labels.shape)} for {boxes} boxes; give one per box.")
    wrong = (labels < 0) | (labels >= num_classes)
    if wrong.device.type == "cpu" and wrong.any():
        raise ValueError(
            f"{name} has label {labels[wrong][0]}; the model has num_classes={num_classes}, labels run from 0 to "
            f"{num_classes - 1}."
        )


def check_semantic(semantic: Tensor, size: Sequence[int], name: str, semantic_classes: int) -> None:
    """Raise ValueError unless the map has the image's size and only classes below `semantic_classes`, or 255."""
    if tuple(semantic.shape) != tuple(size):
        raise ValueError(f"{name} has a semantic map of {tuple(semantic.shape)}, its size needs {tuple(size)}.")
    if semantic.device.type != "cpu":
        return
    greatest = int(torch.where(semantic == IGNORED, 0, semantic).max())
    if greatest >= semantic_classes:
        raise ValueError(
            f"{name} has class {greatest} in its semantic map; the model has semantic_classes={semantic_classes}, "
            f"classes run from 0 to {semantic_classes - 1}, and {IGNORED} is ignored."
        )
