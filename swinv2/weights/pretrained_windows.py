"""Pretraining windows of weights, the unit of the offsets of the position bias."""

import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..files.regular import read_small
from .layouts import last_stage
from .parts import split

logger = logging.getLogger(__name__)

_MOST_BYTES = 1 << 20  # of config.json
_NAME = re.compile(r"window(\d+)(to\d+)?[_-](\d+)([^/\\]*)")  # window, fine-tuning window, image size, the rest
_SIDE = re.compile(r"(?:img|image|input|res|size)(?:[_=-]?size)?[_=-]?(\d{2,4})(?!\d)|[._-](\d{2,4})(?:px|x\2)(?!\w)")


def training_windows(state: Mapping[str, Tensor], source: str, name: str) -> tuple[list[tuple[int, ...]] | None, str]:
    """Pretraining window of each stage, None if unknown, and its source as text.

    The source is the note in a checkpoint of this package; else tables of relative coordinates: the greatest entry of
    a table for a window W pretrained at W' is log2(1 + 8 (W - 1) / (W' - 1)) / 3 (eq. 4), from which W' follows; else a
    name such as `swinv2_base_window12to16_192to256` or `swinv2_tiny_window8_256_img128`, where a window is at most as
    large as the feature map.

    Args:
        state: weights and buffers.
        source: layout of `state`.
        name: path, address or name of the checkpoint.

    Raises:
        ValueError: the note or a table is damaged.
    """
    buffers = split(state, source).inside
    stages = range(last_stage(buffers) + 1)
    keys = [f"layers.{i}.blocks.0.attn.relative_coords_table" for i in stages]
    if "_extra_state" in buffers:
        axes = buffers["patch_embed.proj.weight"].ndim - 2
        return _noted(buffers["_extra_state"], (len(stages), axes)), "the checkpoint"
    if all(key in buffers for key in keys):
        return [_trained_at(buffers[key], key) for key in keys], "the checkpoint"
    if found := _NAME.findall(name):
        window, other, side, rest = found[-1]
        given = None if other else _SIDE.search(rest)  # timm's windows shrink with its images, if not pretrained
        side = next(filter(None, given.groups())) if given else side
        return [(max(1, min(int(window), int(side) // 4 // 2**i)),) * 2 for i in stages], "its name"
    return None, "the model, since the checkpoint does not say"


def architecture(content: Mapping[Any, Any]) -> str:
    """Name of the model and image size by the options that timm's training saves with the weights."""
    name, options = content.get("arch"), getattr(content.get("args"), "__dict__", {})
    more = options.get("model_kwargs")
    given = options.get("img_size") or (more.get("img_size") if isinstance(more, Mapping) else None)
    return _at_size(name, given) if isinstance(name, str) else ""


def _at_size(name: str, given: Any) -> str:
    """Name of a model with its image size, a number or equal numbers; empty if images are not square."""
    sides = set(given) if isinstance(given, list | tuple) else {given}
    side = sides.pop() if len(sides) == 1 else ""
    return name if side is None else f"{name}_img{side}" if isinstance(side, int) else ""


def configuration(path: Path) -> str:
    """Name of the model and image size by timm's config.json, or window and image size by that of transformers.

    Args:
        path: config.json beside the weights; the result is empty if it is missing or another file.
    """
    try:
        content = json.loads(read_small(path, _MOST_BYTES))
        if "architecture" in content:
            return _at_size(content["architecture"], content["model_args"]["img_size"])
        pretrained = any(content.get("pretrained_window_sizes", ()))
        return "" if pretrained else _at_size(f"window{content['window_size']}_1", content["image_size"])
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return ""


def warn_of_guess(label: str, windows: Sequence[Sequence[int]]) -> None:
    """Warn that the pretraining windows of a checkpoint are unknown.

    Args:
        label: name of the checkpoint.
        windows: assumed in their place.
    """
    logger.warning(
        "%s does not say in which windows it was trained, the unit of its position bias; taken are the "
        "pretrained_window_sizes of the model, %s. timm trains in the windows that stages really have, 8, 8, 8, 4 for "
        "images of 128 pixels: if others are right, call set_pretrained_window_sizes on the backbone after loading, or "
        "name the file by window and size of the images, e.g. swinv2_tiny_window8_128.pth.",
        label,
        ", ".join("x".join(map(str, window)) for window in windows),
    )


def _noted(windows: Tensor, shape: tuple[int, int]) -> list[tuple[int, ...]]:
    """Windows in the note of a checkpoint of this package, by stage and axis.

    Raises:
        ValueError: they have another shape, or are no positive integers.
    """
    rows = windows.tolist() if windows.shape == shape and not windows.is_complex() else []
    if not rows or any(not token >= 1 or token % 1 for row in rows for token in row):
        raise ValueError(
            f"_extra_state should hold the windows of the training as {shape} whole numbers from 1 on, got "
            f"{tuple(windows.shape)} of {windows.dtype}, or other numbers; take the whole checkpoint, or leave it out."
        )
    return [tuple(map(int, row)) for row in rows]


def _trained_at(table: Tensor, key: str) -> tuple[int, ...]:
    """Pretraining window by a table of relative coordinates, along each axis.

    Raises:
        ValueError: the table has another shape, or values of no window.
    """
    windows = [(length + 1) // 2 for length in table.shape[1:-1]]
    if table.is_floating_point() and table.numel() and table.ndim == table.shape[-1] + 2:
        reach = (2 ** (3 * table.double().flatten(0, -2).amax(0)) - 1).tolist()  # 8 (W - 1) / (W' - 1) along each axis
        units = [8 * (w - 1) / r if r > 0 else math.nan for w, r in zip(windows, reach, strict=True)]  # W' - 1
        if all(w == 1 or 0.5 < unit < math.inf for w, unit in zip(windows, units, strict=True)):
            return tuple(1 + round(unit) if w > 1 else 1 for w, unit in zip(windows, units, strict=True))
    raise ValueError(
        f"{key} should hold the offsets (1, 2·h - 1, 2·w - 1, 2) in a window of h x w tokens, got {tuple(table.shape)} "
        f"of {table.dtype}, or numbers that are none; take the whole checkpoint, or leave these tables out."
    )
