"""Weights of every checkpoint format of the ecosystem into a model, with a report, and from one format into another."""

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .backbone import SwinTransformerV2
from .checkpoints import read_checkpoint, write_checkpoint
from .fitting import check_coverage, check_variant, fit
from .formats import from_official, has_place, to_official, training_windows
from .layouts import detect_format, rename
from .published import PRETRAINED, weights_url

__all__ = ["PRETRAINED", "LoadReport", "convert", "load_weights", "read_checkpoint", "weights_url"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadReport:
    """What became of the tensors of a checkpoint; as a string, a few lines to read.

    Attributes:
        format: layout of the checkpoint.
        matched: tensors of the model that were loaded.
        missing: tensors of the model that stay as they were.
        unexpected: tensors of the checkpoint without a place in the model.
        adapted: tensors whose shape differed, and what was done.
        pretrained_window_sizes: window of the training of each stage, in tokens along each axis.
        windows_from: where these windows are known from.
    """

    format: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    adapted: tuple[tuple[str, str], ...]
    pretrained_window_sizes: tuple[tuple[int, ...], ...]
    windows_from: str

    def __str__(self) -> str:
        """Counts, and names in groups."""
        windows = ", ".join("x".join(map(str, window)) for window in self.pretrained_window_sizes)
        changes = defaultdict(list)
        for name, change in self.adapted:
            changes[f"adapted, {change}" if name in self.matched else change].append(name)
        lines = [
            f"{self.format} weights: {len(self.matched)} of {len(self.matched) + len(self.missing)} tensors loaded",
            f"trained with windows {windows} (from {self.windows_from})",
            *(f"{change}: {_grouped(names)}" for change, names in changes.items()),
            f"left as they were: {_grouped(self.missing)}",
            f"not used: {_grouped(self.unexpected)}",
        ]
        return "\n  ".join(line for line in lines if not line.endswith(": "))


def _grouped(names: Iterable[str]) -> str:
    """Names in groups by the module they are in, down to two levels, with counts."""
    groups = defaultdict(list)
    for name in names:
        groups[".".join(name.split(".")[:-1][:2]) or name].append(name)
    texts = [f"{group} ({len(members)})" if len(members) > 1 else members[0] for group, members in groups.items()]
    return ", ".join(texts[:8]) + (f" and {len(texts) - 8} more" if len(texts) > 8 else "")


def load_weights(model: nn.Module, source: str | Path | Mapping[str, Any]) -> LoadReport:
    """Load a checkpoint of any known format into the backbone of a model, and into what else fits.

    Adapted are the channels of the input (summed for one, else repeated and scaled), an image's weights to a clip
    (patches repeated and divided, offsets in time without effect: a clip of one repeated image gives the image's
    features), and the window, whose size in the training is noted in the backbone. A classifier or a head of another
    shape stays as it was.

    Args:
        model: a `SwinTransformerV2`, or a model that holds one.
        source: what `read_checkpoint` takes.

    Raises:
        FileNotFoundError: there is no such file.
        ConnectionError: the address cannot be reached.
        ValueError: the checkpoint cannot be read or is of another model, or fills less than half of the backbone.
    """
    label, state, layout = _open(source)
    weights = to_official(state, layout)
    prefix, backbone = _find_backbone(model)
    check_variant(weights, backbone.state_dict(), label)
    wanted = {name: value for name, value in model.state_dict().items() if not name.endswith("_extra_state")}
    loaded: dict[str, Tensor] = {}
    adapted: list[tuple[str, str]] = []
    unexpected: list[str] = []
    for key, value in weights.items():
        name = next((place for place in _places(key, prefix, backbone, layout) if place in wanted), None)
        if name is None:
            unexpected.append(key)
            continue
        fitted, change = fit(value, wanted[name].shape, name, name.startswith(prefix))
        loaded |= {} if fitted is None else {name: fitted}
        adapted += [(name, change)] if change else []
    check_coverage([name for name in wanted if name.startswith(prefix)], loaded, unexpected, f"{label} ({layout})")
    model.load_state_dict(loaded, strict=False)
    trained, origin = training_windows(state, layout, label)
    _set_windows(backbone, trained)
    missing = tuple(name for name in wanted if name not in loaded)
    windows = tuple(backbone.pretrained_window_sizes)
    report = LoadReport(layout, tuple(loaded), missing, tuple(unexpected), tuple(adapted), windows, origin)
    logger.info("%s: %s", label, report)
    if skipped := [f"{name} {change}" for name, change in adapted if name not in loaded]:
        logger.warning("%s: %d tensors of another shape: %s", label, len(skipped), "; ".join(skipped[:4]))
    return report


def convert(source: str | Path | Mapping[str, Any], out: str | Path, to: str) -> None:
    """Write the backbone and classifier of a checkpoint in the layout of another project.

    Args:
        source: what `read_checkpoint` takes.
        out: file to write, .safetensors or .pth; in a .pth the official layout is under `model` as in the release.
        to: official, timm, torchvision, hf or mmpretrain.

    Raises:
        FileNotFoundError: there is no such file.
        ConnectionError: the address cannot be reached.
        ValueError: the checkpoint cannot be read, the layout cannot hold it, or `out` has another suffix.
    """
    label, state, layout = _open(source)
    weights = to_official(state, layout)
    windows, _ = training_windows(state, layout, label)
    write_checkpoint(from_official(weights, to, windows), out, "model" if to == "official" else None)
    if left := [key for key in weights if not has_place(key, to)]:
        logger.warning("%d tensors of %s have no place in the %s layout: %s", len(left), label, to, _grouped(left))


def _open(source: str | Path | Mapping[str, Any]) -> tuple[str, dict[str, Tensor], str]:
    """What to call a checkpoint, its tensors and its layout."""
    label = "the state dict" if isinstance(source, Mapping) else str(source)
    state = read_checkpoint(source)
    try:
        return label, state, detect_format(state)
    except ValueError as error:
        raise ValueError(f"{label} has {error}") from None


def _find_backbone(model: nn.Module) -> tuple[str, SwinTransformerV2]:
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, SwinTransformerV2)]
    if len(found) != 1:
        names = ", ".join(name or "itself" for name, _ in found) or "none"
        raise ValueError(
            f"{type(model).__name__} should hold one SwinTransformerV2, has {names}; give the part to load."
        )
    name, backbone = found[0]
    return f"{name}." if name else "", backbone


def _places(key: str, prefix: str, backbone: SwinTransformerV2, layout: str) -> list[str]:
    """Names that an official key, or one of a head beside the backbone, may have in the model."""
    if key in ("head.weight", "head.bias"):
        return [re.sub(r"[^.]+\.$", "", prefix) + key]
    ours = [key, key.removeprefix("model."), f"model.{key}"]  # as a part, or as a Lightning module
    inside = prefix + rename(key, [("norm", f"norm{len(backbone.layers) - 1}")])
    return [inside, *(ours if layout == "ours" else [key])]


def _set_windows(backbone: SwinTransformerV2, trained: Sequence[Sequence[int]] | None) -> None:
    """Note the windows of the training; in time, image weights tell none and the model keeps its own."""
    own = backbone.pretrained_window_sizes
    windows = [(*o[: len(o) - len(t)], *t) for o, t in zip(own, trained or own, strict=True)]
    backbone.set_pretrained_window_sizes(windows)
