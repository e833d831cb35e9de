"""Conversion of weights to detectron2's names and back; detectron2 itself is not needed.

Both compute the same from the same tensors (anchors, classes and channels have one order), so only names change.
"""

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swinv2.weights.conversion import has_place, lacking, official_parts
from swinv2.weights.files import errors_of, open_checkpoint, write_checkpoint
from swinv2.weights.layouts import Names, detect_format, last_stage, rename
from swinv2.weights.matching import defect
from swinv2.weights.parts import inner_names
from swinv2.weights.pretrained_windows import training_windows

logger = logging.getLogger(__name__)

BACKBONE = "backbone.bottom_up.swin"
FIRST_LEVEL = 2  # the first stage has stride 2**2, and detectron2 numbers its maps from there
COUNTS = ("num_batches_tracked", "_extra_state", "relative_position_index")  # buffers of whole numbers
COMPUTED = re.compile(r"pixel_(mean|std)|proposal_generator\.anchor_generator\.")  # in old files of detectron2


def convert(source: str | Path | Mapping[Any, Any], out: str | Path, to: str) -> None:
    """Convert a checkpoint to detectron2's names or from them, and write it.

    Args:
        source: checkpoint as `read_checkpoint` takes it. To detectron2: one of `DetectionTask`, the state dict of a
            Mask R-CNN or Cascade Mask R-CNN, or weights of a backbone or classifier in any known layout. From
            detectron2: a file of its checkpointer.
        out: file to write; for detectron2 it ends in .pth.
        to: "detectron2" or "ours".

    Raises:
        FileNotFoundError: there is no such file.
        ConnectionError: the address cannot be reached.
        ValueError: the checkpoint cannot be read or has parts that the other side lacks, or `out` has another suffix.
    """
    checkpoint, path = open_checkpoint(source), Path(out)
    if to == "ours":
        with errors_of(checkpoint.label):
            found = from_detectron2(checkpoint.tensors)
        write_checkpoint(found, path)
        return
    if path.suffix != ".pth":
        raise ValueError(f"detectron2 loads such weights from files ending in .pth, got {path.name}.")
    with errors_of(checkpoint.label):
        model = to_detectron2(checkpoint.tensors, checkpoint.names)
    write_checkpoint(model, path, "model", __author__="swinv2", matching_heuristics=False)


def to_detectron2(state: Mapping[str, Tensor], name: str = "") -> dict[str, Tensor]:
    """Weights for a `GeneralizedRCNN` on `build_swinv2_fpn_backbone`.

    Args:
        state: weights of a detector, of its task, or of a backbone or classifier in any known layout.
        name: path or name of the checkpoint, which may contain the window that a backbone was trained with.

    Raises:
        ValueError: there are no SwinV2 weights, or parts that detectron2 lacks.
    """
    own = _checked({name: state[key] for name, key in inner_names(state, "backbone.").items()})
    if not any(key.startswith("roi_heads.") for key in own):
        return _backbone(state, name)
    pairs = names(
        first=min(_numbers(r"backbone\.norm(\d+)\.", own), default=0),
        cascade=len(_numbers(r"roi_heads\.stages\.(\d+)\.", own)) > 1,
        masks=len(_numbers(r"roi_heads\.stages\.(\d+)\.mask_head\.", own)) > 1,
        period=_period(own, "convs.0.weight", "convs.3.weight"),
    )
    return _renamed(own, pairs, "detectron2 has Mask R-CNN and Cascade Mask R-CNN, and no place for")


def from_detectron2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights for our `MaskRCNN` or `CascadeMaskRCNN`.

    Args:
        state: weights of a `GeneralizedRCNN` on `build_swinv2_fpn_backbone`, as detectron2 saved them.

    Raises:
        ValueError: another backbone, or parts that our detectors lack.
    """
    names_there = inner_names(state, f"{BACKBONE}.").items()
    theirs = _checked({name: state[key] for name, key in names_there if not COMPUTED.match(name)})
    levels = _numbers(r"backbone\.fpn_lateral(\d+)\.", theirs)
    if not levels or not any(key.startswith(f"{BACKBONE}.") for key in theirs):
        raise ValueError(
            f"no SwinV2 under detectron2's feature pyramid among {len(theirs)} keys ({', '.join(sorted(theirs)[:3])}, "
            f"…): expected {BACKBONE}.* and backbone.fpn_lateral*; give a checkpoint that detectron2 saved of a "
            "detector on build_swinv2_fpn_backbone."
        )
    pairs = names(
        first=min(levels) - FIRST_LEVEL,
        cascade=bool(_numbers(r"roi_heads\.box_predictor\.(\d+)\.", theirs)),
        masks=bool(_numbers(r"roi_heads\.mask_head\.(\d+)\.", theirs)),
        period=_period(theirs, "conv1.weight", "conv1.norm.weight"),
    )
    ours = [(their, our) for our, their in pairs]
    return _renamed(theirs, ours, "our Mask R-CNN and Cascade Mask R-CNN have no place for")


def names(first: int, cascade: bool, masks: bool, period: int) -> Names:
    """Pairs of our and detectron2's names of the parts of a detector, more specific ones first.

    Args:
        first: first stage of the backbone whose output is used.
        cascade: whether there are several stages of boxes.
        masks: whether more than one stage has a mask head.
        period: layers of the box head from one convolution to the next, 0 if it has none.
    """
    level = f"{{i+{first + FIRST_LEVEL}}}"
    stage, number = ("roi_heads.stages.{i}", ".{i}") if cascade else ("roi_heads.stages.0", "")
    mask_stage, mask_number = ("roi_heads.stages.{i}", ".{i}") if masks else ("roi_heads.stages.0", "")
    box = f"roi_heads.box_head{number}"
    mask = f"roi_heads.mask_head{mask_number}"
    norms = [(f"{stage}.box_head.convs.{{3j+1}}", f"{box}.conv{{j+1}}.norm")]
    convolutions = [
        *(norms if period == 3 else []),
        (f"{stage}.box_head.convs.{{{period}j}}", f"{box}.conv{{j+1}}"),
        (f"{stage}.box_head.fc", f"{box}.fc1"),
    ]
    return [
        ("backbone", BACKBONE),
        ("fpn.inner_blocks.{i}.0", f"backbone.fpn_lateral{level}"),
        ("fpn.layer_blocks.{i}.0", f"backbone.fpn_output{level}"),
        ("rpn.head.conv.0.0", "proposal_generator.rpn_head.conv"),
        ("rpn.head.cls_logits", "proposal_generator.rpn_head.objectness_logits"),
        ("rpn.head.bbox_pred", "proposal_generator.rpn_head.anchor_deltas"),
        *(convolutions if period else [(f"{stage}.box_head", box)]),
        (f"{stage}.box_predictor", f"roi_heads.box_predictor{number}"),
        (f"{mask_stage}.mask_head.convs.{{2j}}", f"{mask}.mask_fcn{{j+1}}"),
        *((f"{mask_stage}.mask_head.{part}", f"{mask}.{part}") for part in ("deconv", "predictor")),
    ]


def _checked(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy of a state dict whose tensors are all valid weights.

    Raises:
        ValueError: a tensor is no weight, or has NaN or infinite values.
    """
    for key, value in state.items():
        if not key.endswith(COUNTS) and (reason := defect(value)):
            raise ValueError(f"{key} {reason}")
    return dict(state)


def _renamed(state: Mapping[str, Tensor], pairs: Names, refusal: str) -> dict[str, Tensor]:
    new = {key: rename(key, pairs) for key in state}
    if left := [key for key in state if new[key] == key]:  # no name is the same on both sides
        more = f" and {len(left) - 4} more" if len(left) > 4 else ""
        raise ValueError(f"{refusal} {', '.join(left[:4])}{more}.")
    return {new[key]: value for key, value in state.items()}


def _backbone(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Weights of a backbone alone, without a classifier, under detectron2's names."""
    layout = detect_format(state)
    inside = official_parts(state, layout).inside
    weights = {key: value for key, value in inside.items() if has_place(key, "official")}
    if missing := lacking(weights):
        raise ValueError(f"{len(missing)} tensors of the backbone are not there, first {missing[0]}; give it whole.")
    moved = {rename(key, [("norm", f"norm{last_stage(weights)}")]): value for key, value in weights.items()}
    result = {f"{BACKBONE}.{key}": value for key, value in moved.items() if not key.startswith("head.")}
    windows, _ = training_windows(state, layout, name)
    if windows is None:
        logger.warning(
            "Nothing says in which windows these weights were trained; the unit of the position bias is then the "
            "window of the model that takes them. Name the file by window and size of the images, e.g. "
            "swinv2_tiny_window8_256.pth."
        )
    return result | ({f"{BACKBONE}._extra_state": torch.tensor(windows)} if windows else {})


def _period(keys: Collection[str], convolution: str, norm: str) -> int:
    """Layers of a box head from one convolution to the next: with its norm and ReLU three, without norm two."""
    has = [
        any(re.search(rf"\.box_head\.(\d+\.)?{re.escape(name)}$", key) for key in keys) for name in (norm, convolution)
    ]
    return 3 if has[0] else 2 * has[1]


def _numbers(pattern: str, keys: Iterable[str]) -> set[int]:
    return {int(match[1]) for key in keys if (match := re.match(pattern, key))}
