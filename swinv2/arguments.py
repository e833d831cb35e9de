"""Checks of the backbone's arguments, and their expansion to every stage."""

from collections.abc import Sequence
from typing import Any

from .windows import Size

Window = int | Sequence[int] | Sequence[Sequence[int]]  # one number, one per axis, or one entry per stage


def window_per_stage(window: Window, stages: int, axes: int, name: str) -> list[Size]:
    """Window of each stage along each axis, from one number, one per axis, one per stage, or one per stage and axis.

    Args:
        window: the window, in tokens; if there are as many stages as axes, a flat list means axes.
        stages: number of stages.
        axes: number of axes.
        name: of the argument, for errors.

    Raises:
        ValueError: the numbers fit neither the axes nor the stages, or are not positive.
    """
    entries: list[Any] = [window] * axes if isinstance(window, int) else list(window)
    sizes: list[Size] = [(entry,) * axes if isinstance(entry, int) else tuple(entry) for entry in entries]
    if len(entries) == axes and all(isinstance(entry, int) for entry in entries):
        sizes = [tuple(size[0] for size in sizes)] * stages
    if len(sizes) != stages or any(len(size) != axes for size in sizes):
        example = {1: "(8,)", 2: "(8, 8)", 3: "(8, 7, 7)"}.get(axes, f"{axes} numbers")
        kind = {2: "image ", 3: "video "}.get(axes, "")
        raise ValueError(
            f"{name} needs one number per axis, got {tuple(entries)} for a {axes}-axis {kind}model with {stages} "
            f"stages; use e.g. {example}, or one entry per stage."
        )
    if any(w < 1 for size in sizes for w in size):
        raise ValueError(f"{name} needs positive numbers of tokens, got {tuple(entries)}; use e.g. 8.")
    return sizes


def check_lengths(
    patch_size: Sequence[int],
    stride: Size,
    depths: Sequence[int],
    num_heads: Sequence[int],
    shift: Sequence[bool],
    checkpointing: Sequence[bool],
) -> None:
    """Raise unless there is one number per axis, or per stage.

    Raises:
        ValueError: there are more or fewer.
    """
    if len(patch_size) not in (1, 2, 3) or len(stride) != len(patch_size):
        raise ValueError(
            f"patch_size and merge_stride need one number per axis, 1 to 3 of them, got {tuple(patch_size)} and "
            f"{stride}; use e.g. (4, 4) and (2, 2) for images, (2, 4, 4) and (1, 2, 2) for video."
        )
    if not len(depths) == len(num_heads) == len(shift):
        raise ValueError(
            f"depths, num_heads and shift need one entry per stage, got {tuple(depths)}, {tuple(num_heads)} and "
            f"{tuple(shift)}; use e.g. (2, 2, 6, 2), (3, 6, 12, 24) and None."
        )
    if len(checkpointing) != len(depths) or not all(isinstance(entry, bool) for entry in checkpointing):
        raise ValueError(
            f"checkpointing is true, false, or one of them for each of {len(depths)} stages, got "
            f"{tuple(checkpointing)}; use e.g. true."
        )


def check_stages(out_indices: Sequence[int], frozen_stages: int, stages: int) -> None:
    """Raise unless the given stages exist.

    Raises:
        ValueError: they do not.
    """
    if not out_indices or any(i not in range(stages) for i in out_indices):
        raise ValueError(
            f"out_indices are stages from 0 to {stages - 1}, got {tuple(out_indices)}; use e.g. (0, 1, 2, 3)."
        )
    if frozen_stages not in range(-1, stages + 1):
        raise ValueError(f"frozen_stages is a number from -1 (train everything) to {stages}, got {frozen_stages}.")


def check_heads(dims: Sequence[int], num_heads: Sequence[int]) -> None:
    """Raise unless the channels of each stage are a multiple of its heads.

    Raises:
        ValueError: they are not.
    """
    for i, (dim, heads) in enumerate(zip(dims, num_heads, strict=True)):
        if dim % heads:
            raise ValueError(f"the {dim} channels of stage {i} cannot be shared by {heads} heads; change num_heads.")
