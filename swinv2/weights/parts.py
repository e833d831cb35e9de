"""Parts of a checkpoint: backbone and classifier, and all other tensors."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from .layouts import LAYOUTS, find_prefix, last_stage, plain, rename

CLASSIFIER = ("head.weight", "head.bias")  # official names
_CLASSIFIERS = ("head", "head.fc", "classifier", "fc", "cls_head", "cls_head.fc")  # usual names


@dataclass(frozen=True)
class Parts:
    """Tensors of a checkpoint, by part.

    Attributes:
        inside: tensors of backbone and classifier, under official names.
        beside: all other tensors, under their own names.
        prefix: of the names of the backbone.
        classifier: name of the classifier's linear layer; empty if there is none.
    """

    inside: dict[str, Tensor]
    beside: dict[str, Tensor]
    prefix: str
    classifier: str

    @property
    def all(self) -> dict[str, Tensor]:
        """All tensors; where names collide, those of the backbone win."""
        return self.inside | {key: value for key, value in self.beside.items() if key not in self.inside}


def split(state: Mapping[str, Tensor], source: str) -> Parts:
    """Tensors of backbone and classifier under official names, apart from all others.

    Args:
        state: weights and buffers.
        source: layout of `state`.

    Raises:
        ValueError: two tensors of the backbone have one name.
    """
    layout, prefix = LAYOUTS[source], find_prefix(state, source)
    names, others = ([(own, ours) for ours, own in pairs] for pairs in (layout.names, layout.beside))
    inside: dict[str, str] = {}
    for key in state:
        name = rename(plain(key.removeprefix(prefix)), names)
        if key.startswith(prefix) and inside.setdefault(name, key) != key:
            raise ValueError(f"{inside[name]} and {key} are both {name} of the backbone; leave one of them out.")
    stem = _classifier(state, inside, prefix, layout.head)
    heads = {name: name.replace("head", stem, 1) for name in CLASSIFIER if name.replace("head", stem, 1) in state}
    inside = {name: key for name, key in inside.items() if name not in CLASSIFIER and key not in heads.values()} | heads
    outer, taken = outer_prefixes(prefix)[0], {*inside.values()}
    beside = {
        outer + rename(key.removeprefix(outer), others) if key.startswith(outer) else key: value
        for key, value in state.items()
        if key not in taken
    }
    return Parts({name: state[key] for name, key in inside.items()}, beside, prefix, stem)


def _classifier(state: Mapping[str, Tensor], inside: Mapping[str, str], prefix: str, usual: str) -> str:
    """Name of the classifier's linear layer on the backbone's last features; empty if there is none.

    Searched first by the layout's name beside the backbone, inside it, and further out; then by usual names among
    layers of the features' width, in the same places, or anywhere if only one layer fits.

    Args:
        state: weights and buffers.
        inside: keys of the backbone by official name.
        prefix: of the backbone.
        usual: name in the layout.
    """
    beside, *outer = outer_prefixes(prefix)
    roots = [beside, prefix, *outer]
    if found := [f"{root}{usual}" for root in roots if f"{root}{usual}.weight" in state]:
        return found[0]
    first = [len(state[key]) for name, key in inside.items() if name == "patch_embed.proj.weight" and state[key].ndim]
    width = sum(first) * 2 ** last_stage(inside)
    wide = [key.removesuffix(".weight") for key, value in state.items() if value.shape[1:] == (width,)]
    near = [stem for root in roots for name in _CLASSIFIERS if (stem := f"{root}{name}") in wide]
    far = [stem for stem in wide if any(f".{stem}".endswith(f".{name}") for name in _CLASSIFIERS)]
    return near[0] if near else far[0] if len(far) == 1 else ""


def outer_prefixes(prefix: str) -> list[str]:
    """Prefixes of the modules around a backbone, from the inside out: for `a.b.`, `a.` and the empty one."""
    parts = prefix.split(".")[:-1]
    return [".".join((*parts[:depth], "")) for depth in reversed(range(len(parts)))] or [""]


def inner_names(keys: Collection[str], backbone: str) -> dict[str, str]:
    """Keys of a checkpoint by their names in a model that is only a part of the saved one.

    Args:
        keys: of the checkpoint.
        backbone: prefix of the backbone in the model, e.g. `backbone.`.
    """
    prefix = find_prefix(keys, "official")
    outer = prefix.removesuffix(backbone) if f".{prefix}".endswith(f".{backbone}") else outer_prefixes(prefix)[0]
    return {key.removeprefix(outer): key for key in keys}
