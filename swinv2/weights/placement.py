"""Assignment of a checkpoint's tensors to those of a model."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from .layouts import rename
from .matching import defect, fit
from .parts import CLASSIFIER, Parts, outer_prefixes


def match(
    parts: Parts, wanted: Mapping[str, Tensor], prefix: str, last: int
) -> tuple[dict[str, Tensor], list[tuple[str, str]], list[str]]:
    """Tensors for a model under its names, changes made to fit them, and keys without a place in the model.

    Args:
        parts: of the checkpoint.
        wanted: tensors of the model.
        prefix: of the backbone in the model.
        last: number of the backbone's last stage.

    Raises:
        ValueError: a tensor of the backbone has another shape, or NaN or other unusable values.
    """
    loaded: dict[str, Tensor] = {}
    adapted: list[tuple[str, str]] = []
    unexpected: list[str] = []
    for key, value, places in _placed(parts, prefix, last):
        name = next((place for place in places if place in wanted and place not in loaded), None)
        if name is None:
            unexpected.append(key)
            continue
        reason = defect(value, wanted[name].dtype)
        if reason and name.startswith(prefix):
            raise ValueError(f"{name} {reason}")
        fitted, change = fit(value, wanted[name].shape, name, name.startswith(prefix))
        if fitted is None or reason:
            adapted.append((name, change or f"not loaded, since it {reason}"))
            continue
        loaded[name] = fitted
        adapted += [(name, change)] if change else []
    return loaded, adapted, unexpected


def _placed(parts: Parts, prefix: str, last: int) -> Iterator[tuple[str, Tensor, list[str]]]:
    """Each tensor of a checkpoint with its official or own name, and its possible names in a model."""
    for key, value in parts.inside.items():
        if key in CLASSIFIER:
            own = key.replace("head", parts.classifier, 1)
            yield key, value, [*_beside(own, parts.prefix, prefix), f"{outer_prefixes(prefix)[0]}{key}"]
        else:
            inside = f"{prefix}{rename(key, [('norm', f'norm{last}')])}"
            yield key, value, [inside, *(f"{outer}{key}" for outer in outer_prefixes(prefix))]
    for key, value in parts.beside.items():
        yield key, value, _beside(key, parts.prefix, prefix)


def _beside(key: str, prefix: str, own_prefix: str) -> list[str]:
    """Possible names in a model of a tensor beside the backbone: its name in each module around the backbone.

    Args:
        key: name in the checkpoint.
        prefix: of the backbone in the checkpoint.
        own_prefix: of the backbone in the model.
    """
    inner = [key.removeprefix(outer) for outer in outer_prefixes(prefix) if key.startswith(outer)]
    return [f"{outer}{name}" for name in inner for outer in outer_prefixes(own_prefix)]
