"""Search for the weights in a checkpoint, which may nest mappings and hold several models."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .layouts import backbone_prefixes

logger = logging.getLogger(__name__)

_NAMES = ("state_dict", "model", "module")  # of containers, the most usual first
_AVERAGED = {"ema", "avg", "average", "averaged", "swa", "teacher", "shadow"}  # words in names of averaged weights
_RAW = {"student", "online", "current", "raw"}  # words in names of weights that are not averaged
_ASIDE = {"optimizer", "optimizers", "optim", "opt", "scheduler", "schedulers", "scaler", "mask", "masks"}
_ASIDE |= {"grad", "grads", "gradient", "gradients"}  # words in names of tensors that only look like weights
_HEAD = re.compile(r"(^|_)(heads?|classifier|fc|neck|fpn|decoder)$")  # containers of heads on a backbone
_DEPTH = 8  # most levels of nested mappings
_REPEATED = 1 << 30  # bytes up to which a tensor may be an expanded view
_WRAPPERS = re.compile(  # of DataParallel, torch.compile, FSDP, checkpointing, Fabric and fairscale, anywhere in a key
    r"(?<![^.])(module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module|_fpw_module)\."
)


@dataclass(frozen=True)
class _Place:
    """Place of a model in a checkpoint.

    Attributes:
        path: names of the mappings that lead to it.
        prefix: of the names of its backbone there.
        swapped: whether averages and raw weights are swapped, as mmengine saves them.
    """

    path: tuple[str, ...]
    prefix: str
    swapped: bool

    def __str__(self) -> str:
        """Place as a dotted path, for messages."""
        return ".".join((*self.path, self.prefix)).rstrip(".") or "the top"

    @property
    def rank(self) -> tuple[int, int, int]:
        """Sort key, the lowest first: averaged weights, which are meant for evaluation, before raw ones."""
        words = _words(*self.path, self.prefix)
        averaged, raw = (sum(word in kind for word in words) for kind in (_AVERAGED, _RAW))
        usual = min((_NAMES.index(name) for name in self.path if name in _NAMES), default=len(_NAMES))
        return (1, 1, usual) if self.swapped else (-averaged, raw, usual)


def find_weights(content: Mapping[Any, Any], label: str) -> tuple[dict[str, Tensor], str]:
    """Tensors of the model in a checkpoint, without wrappers such as `module.` in their names, and the model's place.

    Of several models the averaged one is taken, else the first, and the log says so; the place is empty if there is
    only one.

    Args:
        content: nested mappings; modules are mappings with attributes.
        label: name of the checkpoint in messages.

    Raises:
        ValueError: two tensors have one name, or a tensor is far larger than its stored data.
    """
    groups = dict(_groups(content))
    names = {path: [_WRAPPERS.sub("", key) for key in tensors] for path, tensors in groups.items()}
    places = [
        _Place(path, prefix, path[-1:] == ("ema_state_dict",) and "steps" in keys)
        for path, keys in names.items()
        for prefix in backbone_prefixes(keys)
    ]
    if not places:  # no SwinV2; callers that need one raise
        path = min(groups, key=lambda path: (_Place(path, "", False).rank, -len(groups[path])), default=None)
        return ({} if path is None else _unwrapped(groups[path], label)), ""
    chosen, *others = sorted(places, key=lambda place: place.rank)
    _tell(chosen, others, label)
    rivals = [other.prefix for other in others if other.path == chosen.path]
    tensors = _unwrapped(groups[chosen.path], label)
    own = {key: value for key, value in tensors.items() if _belongs(key, chosen.prefix, rivals)}
    models = {place.path for place in places}
    heads = [path for path in groups if path[:-1] == chosen.path[:-1] and path not in models]
    heads = [path for path in heads if path and _HEAD.search(path[-1])]
    if heads:
        own = {".".join((*chosen.path[-1:], key)): value for key, value in own.items()}
    for path in heads:
        own |= {f"{path[-1]}.{key}": value for key, value in _unwrapped(groups[path], label).items()}
    return own, str(chosen) if others else ""


def _groups(
    content: Any, path: tuple[str, ...] = (), seen: set[int] | None = None
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Path and tensors of each mapping that holds tensors by name; the first path if there are several."""
    seen = set() if seen is None else seen
    if not isinstance(content, Mapping | list | tuple) or id(content) in seen:
        return
    if len(path) > _DEPTH or not _ASIDE.isdisjoint(_words(*path)):
        return
    seen.add(id(content))
    if not isinstance(content, Mapping):
        content = dict(enumerate(content)) if any(isinstance(item, Mapping) for item in content) else {}
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors := tensors | dict(_module_state(content)):
        yield path, tensors
    for key, value in content.items():
        yield from _groups(value, (*path, str(key)), seen)


def _module_state(module: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers of a module that was saved as an object and read as a mapping with attributes."""
    own = vars(module) if hasattr(module, "__dict__") else {}
    for kind in ("_parameters", "_buffers"):
        for name, value in (own.get(kind) or {}).items():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
    for name, part in (own.get("_modules") or {}).items():
        yield from _module_state(part, f"{prefix}{name}.")


def _unwrapped(tensors: Mapping[str, Tensor], label: str) -> dict[str, Tensor]:
    """Tensors by their names without wrappers."""
    given: dict[str, str] = {}
    for key in tensors:
        name = _WRAPPERS.sub("", key)
        if name in given:
            raise ValueError(
                f"{label} has two tensors for {name}: {given[name]} and {key}; save the weights of one model alone."
            )
        given[name] = key
        if _is_repeated(tensors[key]):
            raise ValueError(
                f"{label} says that {key} has the shape {tuple(tensors[key].shape)}, and holds "
                f"{tensors[key].untyped_storage().nbytes():,} bytes of it; take a checkpoint that holds its weights."
            )
    return {name: tensors[key].detach() for name, key in given.items()}


def _is_repeated(tensor: Tensor) -> bool:
    """Whether a tensor expands to over a GiB and more than its stored data, which repeats along its axes."""
    needed = tensor.numel() * tensor.element_size()
    whole = tensor.layout == torch.strided and not (tensor.is_nested or tensor.is_meta)
    return whole and needed > max(_REPEATED, tensor.untyped_storage().nbytes())


def _belongs(key: str, prefix: str, rivals: Sequence[str]) -> bool:
    """Whether a tensor belongs to the model with a prefix, not to a rival model or its heads."""
    return not any(
        not key.startswith(prefix) if prefix.startswith(rival) else key.startswith(_root(rival, prefix))
        for rival in rivals
    )


def _root(rival: str, prefix: str) -> str:
    """Outermost module around a backbone that is not around the other one: `student.` of `student.backbone.`."""
    parts, own = rival.split("."), prefix.split(".")
    shared = next(i for i, part in enumerate(parts) if part not in own[i : i + 1])
    return ".".join(parts[: shared + 1]) + "."


def _tell(chosen: _Place, others: Sequence[_Place], label: str) -> None:
    if not others:
        return
    alike = [other for other in others if other.rank == chosen.rank]
    kind = "averaged weights" if chosen.rank[0] < 0 else "weights"
    text = "%s holds %d models; taken are the %s at %s, not those at %s."
    known = (label, len(others) + 1, kind, chosen, ", ".join(map(str, others)))
    if alike:
        logger.warning(f"{text} To take others, save these alone: torch.save(their state dict, path).", *known)
    else:
        logger.info(text, *known)


def _words(*names: str) -> list[str]:
    """Words in names: `modelEMA` and `model_ema.` have model and ema."""
    return [word.lower() for name in names for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
