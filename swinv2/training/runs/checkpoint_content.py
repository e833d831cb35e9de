"""Checks of a checkpoint to resume from: its entries have the types that a training writes."""

import traceback
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import AdamW

from ...error_reports import Step

KINDS: Mapping[str, type] = {  # type of each entry of a checkpoint
    **dict.fromkeys(("epoch", "global_step"), int),
    "batches_of_epoch": Real,
    "pytorch-lightning_version": str,
    **dict.fromkeys(("state_dict", "loops", "callbacks"), Mapping),
    **dict.fromkeys(("optimizer_states", "lr_schedulers", "class_names", "window_size"), list),
}
ELEMENTS: Mapping[str, tuple[type, ...]] = {  # types of the elements of entries that are lists or mappings
    "callbacks": (Mapping,),
    **dict.fromkeys(("optimizer_states", "lr_schedulers"), (Mapping,)),
    "class_names": (str,),
    "window_size": (tuple, list),
}
MOMENTS = ("exp_avg", "exp_avg_sq")
CHANGED = (
    "another program or version has written or changed it. Give an earlier checkpoint, or start a new training from "
    "its weights by --model.weights in place of --ckpt_path."
)
RESTORING = "checkpoint_connector"  # Lightning's module that restores a checkpoint


def check_content(content: Mapping[str, Any], label: str) -> None:
    """Raise unless the entries of a checkpoint have the types that a training writes; entries may be missing.

    Args:
        content: the checkpoint.
        label: name of the checkpoint in the error.

    Raises:
        ValueError: an entry has another type.
    """
    for name in (name for name in KINDS if name in content):
        value, kind = content[name], KINDS[name]
        good = isinstance(value, kind) and not isinstance(value, bool)
        if good and name in ELEMENTS:
            inner = value.values() if isinstance(value, Mapping) else value
            good = all(isinstance(one, ELEMENTS[name]) for one in inner)
        if good and name == "window_size":
            good = all(isinstance(token, int) for window in value for token in window)
        if not good:
            raise ValueError(f"The checkpoint {label} has {value!r:.60} for {name}: {CHANGED}")


def check_parts(saved: Mapping[str, Any]) -> None:
    """Raise unless the state of an optimizer has parameter groups.

    Args:
        saved: the optimizer's state in the checkpoint.

    Raises:
        ValueError: it has none.
    """
    groups, state = saved.get("param_groups"), saved.get("state")
    good = isinstance(groups, list) and isinstance(state, Mapping) and all(isinstance(one, Mapping) for one in groups)
    if not good or not all(isinstance(group.get("params"), list) for group in groups or ()):
        raise ValueError(f"The optimizer of the checkpoint has no groups of parameters: {CHANGED}")


def check_optimizer(saved: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> None:
    """Raise unless an optimizer's settings and moments fit the parameters; states saved by name are left to FSDP.

    Args:
        saved: the optimizer's state in the checkpoint, with as many groups.
        groups: of the model's parameters, in the order of the numbers in `saved`.

    Raises:
        ValueError: they do not.
    """
    wanted = AdamW([dict(group, initial_lr=group["lr"]) for group in groups]).state_dict()["param_groups"]
    for number, (given, group) in enumerate(zip(saved["param_groups"], wanted, strict=True)):
        for name in group.keys() - {"params"}:
            if not alike(given.get(name), group[name]):
                raise ValueError(
                    f"Group {number} of the checkpoint's optimizer has {given.get(name)!r:.60} for {name}: {CHANGED}"
                )
    parameters = [parameter for group in groups for parameter in group["params"]]
    for number, state in saved["state"].items():
        known = isinstance(number, int) and 0 <= number < len(parameters)
        if not isinstance(number, str) and not (known and fits(state, parameters[number])):
            raise ValueError(f"The state of parameter {number!r:.20} in the checkpoint's optimizer is wrong: {CHANGED}")


def alike(given: Any, wanted: Any) -> bool:
    """Whether a value of a saved group has the type of the expected one."""
    if isinstance(wanted, list | tuple):
        return isinstance(given, list | tuple) and len(given) == len(wanted) and all(map(alike, given, wanted))
    if isinstance(wanted, bool) or wanted is None:
        return given is None or isinstance(given, bool)
    return isinstance(given, Real if isinstance(wanted, Real) else type(wanted)) and not isinstance(given, bool)


def fits(state: Any, parameter: Tensor) -> bool:
    """Whether the state of a parameter has a step count, and moments of the parameter's shape."""
    if not isinstance(state, Mapping):
        return False
    steps = state.get("step")
    counted = isinstance(steps, Tensor) and steps.numel() == 1 and steps.is_floating_point()
    moments = [state.get(name) for name in MOMENTS]
    return counted and all(
        isinstance(one, Tensor) and one.shape == parameter.shape and one.is_floating_point() for one in moments
    )


def is_restoring(error: BaseException) -> bool:
    """Whether an error was raised by a library, not by our code, while Lightning restored a checkpoint."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    return any(RESTORING in file for file in files) and not Step(Path(files[-1]), 0, "").ours
