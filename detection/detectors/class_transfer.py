"""Transfer of a detector's weights to other classes, row by row of its class-specific layers.

The paper trains its detector on Objects365 v2 without a mask branch and then on COCO with one; the mask branch starts
at random, everything else from Objects365 (arXiv:2111.09883, A2.2).
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from torch import Tensor, nn

from swinv2 import LoadReport, load_weights
from swinv2.files.regular import read_small
from swinv2.files.structured_text import unique
from swinv2.weights.loading import read_checkpoint
from swinv2.weights.matching import defect
from swinv2.weights.parts import inner_names
from swinv2.weights.tensor_files import read_file

MOST_BYTES = 1 << 24  # limit of a class map
EXAMPLE = '{"tv": "Moniter/TV", "snowman": null}'
ClassMap = Mapping[str, str | None]
BOX = 4  # numbers of a box
CLASS_LAYER = re.compile(
    r"roi_heads\.stages\.\d+\.(box_predictor\.cls_score|box_predictor\.bbox_pred|mask_head\.predictor)\.(weight|bias)"
)


def load_detector_weights(model: nn.Module, source: str, target_names: Sequence[str], class_map: Path) -> LoadReport:
    """Load the weights of a detector of other classes, with the rows of its class-specific layers mapped to ours.

    Args:
        model: one of our detectors.
        source: checkpoint file of one of our detectors.
        target_names: names of the model's classes, by label.
        class_map: file for `read_class_map`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the checkpoint has no class names or no class-specific layers of ours, or the map does not fit.
    """
    mapping = read_class_map(class_map)
    state = read_checkpoint(source)
    return load_weights(model, map_classes(state, model.state_dict(), class_names(source), target_names, mapping))


def read_class_map(path: Path) -> dict[str, str | None]:
    """Read a class map: the class of a checkpoint that each class of the data starts from.

    Args:
        path: JSON file, {"class of the data": "class of the checkpoint"}, null for a class that starts at random;
            classes that the data does not have are ignored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no JSON object of texts and nulls.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no class map {path}; give a JSON file such as {EXAMPLE}.")
    try:
        content = json.loads(read_small(path, MOST_BYTES).decode("utf-8-sig"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The class map {path} is no JSON that can be read ({error}); write {EXAMPLE}.") from error
    others = content.values() if isinstance(content, dict) else [content]
    if wrong := [name for name in others if not isinstance(content, dict) or not isinstance(name, str | None)]:
        given = f"{json.dumps(wrong[0]):.60}"
        raise ValueError(f"The class map {path} is no JSON object of texts and nulls: it has {given}; write {EXAMPLE}.")
    return content


def class_names(source: str) -> list[str]:
    """Read the class names in the checkpoint file of a detector, by label.

    Raises:
        ValueError: there are none.
    """
    try:
        names = read_file(Path(os.path.expanduser(source))).get("class_names")
    except (OSError, ValueError):
        names = None  # an address, or another kind of file
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"{source} does not say the names of its classes, which a class map needs; give a checkpoint file of a "
            "detector trained here (.ckpt), or leave the class map out."
        )
    return names


def map_classes(
    state: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    source_names: Sequence[str],
    target_names: Sequence[str],
    class_map: ClassMap,
) -> dict[str, Tensor]:
    """Tensors of a checkpoint with the rows of all class-specific layers arranged for other classes.

    Class-specific are scores, whose background stays the last row, boxes where each class has its own, and masks. A
    class without a counterpart keeps the model's row.

    Args:
        state: tensors of the checkpoint.
        own: tensors of the model.
        source_names: names of the checkpoint's classes, by label.
        target_names: names of the model's classes, by label.
        class_map: class of the checkpoint, or None, for each class of the model.

    Raises:
        ValueError: the map lacks a class of the model or names one that the checkpoint does not have, or the checkpoint
            has no class-specific layers, or layers of another number of classes.
    """
    rows = class_rows(source_names, target_names, class_map)
    places = {key: place for place, key in inner_names(state, "backbone.").items()}
    found = [key for key, place in places.items() if CLASS_LAYER.fullmatch(place)]
    if not found:
        raise ValueError(
            "The checkpoint has no layers of classes like roi_heads.stages.0.box_predictor.cls_score; a class map is "
            "for Mask R-CNN, Cascade Mask R-CNN and Hybrid Task Cascade."
        )
    fitting = [key for key in found if places[key] in own and fits(state[key], own[places[key]], key)]
    return dict(state) | {key: arrange(state[key], own[places[key]], rows, len(source_names), key) for key in fitting}


def class_rows(source_names: Sequence[str], target_names: Sequence[str], class_map: ClassMap) -> list[int | None]:
    """Label in the checkpoint of each class of the model; None for a class without a counterpart.

    Raises:
        ValueError: the map lacks a class of the model, or names one that the checkpoint does not have.
    """
    if missing := [name for name in target_names if name not in class_map]:
        raise ValueError(
            f"The class map does not cover {len(missing)} of the {len(target_names)} classes of the data: "
            f"{_with_nearest(missing, source_names)}. Add them, with null for one that the checkpoint does not know."
        )
    wanted = [class_map[name] for name in target_names]
    if unknown := [name for name in wanted if name is not None and name not in source_names]:
        raise ValueError(
            f"The class map names {len(unknown)} classes that are not among the {len(source_names)} of the checkpoint: "
            f"{_with_nearest(unknown, source_names)}. Correct the map."
        )
    return [None if name is None else source_names.index(name) for name in wanted]


def fits(value: Tensor, own: Tensor, key: str) -> bool:
    """Whether a layer of the checkpoint fits the model's: same inputs, and a box per class in both or in neither."""
    if value.ndim != own.ndim or defect(value, own.dtype):
        return False  # `load_weights` reports it
    shared = [len(tensor) == BOX for tensor in (value, own)]
    return value.shape[1:] == own.shape[1:] and ("bbox_pred" not in key or shared[0] == shared[1])


def arrange(value: Tensor, own: Tensor, rows: Sequence[int | None], classes: int, key: str) -> Tensor:
    """Rows of one layer in the order of the model's classes; a class without a counterpart keeps the model's rows.

    Args:
        value: the checkpoint's tensor.
        own: the model's tensor, of the same shape except for the number of rows.
        rows: label in the checkpoint of each class of the model, or None.
        classes: number of classes of the checkpoint.
        key: name of the tensor.

    Raises:
        ValueError: the tensor has another number of rows than `classes` require.
    """
    per_class, background = (BOX if "bbox_pred" in key else 1), int("cls_score" in key)
    if per_class == len(value) == len(own):  # all classes share one box
        return value
    if len(value) != (classes + background) * per_class:
        raise ValueError(
            f"The checkpoint names {classes} classes, but {key} has {len(value)} rows; give one as it was written."
        )
    theirs = value.unflatten(0, (-1, per_class))  # (classes [+ 1], per_class, …)
    arranged = own.clone().unflatten(0, (-1, per_class))
    known = [label for label, row in enumerate(rows) if row is not None]
    arranged[known] = theirs[[row for row in rows if row is not None]].to(own)
    if background:
        arranged[-1] = theirs[-1].to(own)
    return arranged.flatten(0, 1)


def _with_nearest(names: Sequence[str], known: Sequence[str]) -> str:
    """Text of names, each with the most similar known name, regardless of case."""
    by_lower = {name.lower(): name for name in known}
    nearest = [by_lower[get_close_matches(name.lower(), by_lower, 1, 0.0)[0]] for name in names]
    pairs = list(zip(names, nearest, strict=True))
    return ", ".join(f"'{name}' ({'there' if near == name else 'nearest'}: '{near}')" for name, near in pairs)
