"""Loading of any known checkpoint format into a model, with a report, and conversion between formats."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ..backbone import SwinTransformerV2
from .conversion import from_official, has_place, official_parts
from .files import Checkpoint, errors_of, open_checkpoint, read_checkpoint, write_checkpoint
from .layouts import detect_format
from .load_report import LoadReport, grouped
from .matching import check_coverage, check_variant, defect
from .parts import Parts
from .placement import match
from .pretrained_windows import training_windows, warn_of_guess
from .published import PRETRAINED, weights_url

__all__ = ["PRETRAINED", "LoadReport", "convert", "load_weights", "read_checkpoint", "weights_url"]

logger = logging.getLogger(__name__)


def load_weights(model: nn.Module, source: str | Path | Mapping[Any, Any]) -> LoadReport:
    """Load a checkpoint of any known format into the backbone of a model, and into all other modules that fit.

    The input channels are adapted (summed for one, else repeated and scaled), and image weights to clips (patches
    repeated and divided, offsets in time without effect: a clip of one repeated image has the image's features). The
    pretraining windows are noted in the backbone. A classifier or head of another shape stays as it was. The log warns
    of tensors that stay as they were, of unused tensors of backbone or heads, and of unknown pretraining windows.

    Args:
        model: a `SwinTransformerV2`, or a model that holds one.
        source: as for `read_checkpoint`.

    Raises:
        FileNotFoundError: there is no such file.
        ConnectionError: the address cannot be reached.
        ValueError: the checkpoint cannot be read or is of another model, fills less than half of the backbone, or has
            NaN or other unusable values for it.
    """
    checkpoint, parts, layout = open_weights(source)
    label = checkpoint.label
    prefix, backbone = _find_backbone(model)
    check_variant(parts.inside, backbone.state_dict(), label)
    wanted = {name: value for name, value in model.state_dict().items() if not name.endswith("_extra_state")}
    with errors_of(label):
        loaded, adapted, unexpected = match(parts, wanted, prefix, len(backbone.layers) - 1)
        trained, origin = training_windows(checkpoint.tensors, layout, checkpoint.names)
    check_coverage([name for name in wanted if name.startswith(prefix)], loaded, unexpected, f"{label} ({layout})")
    model.load_state_dict(loaded, strict=False)
    _set_windows(backbone, trained)
    missing = tuple(name for name in wanted if name not in loaded)
    windows = tuple(backbone.pretrained_window_sizes)
    report = LoadReport(layout, tuple(loaded), missing, tuple(unexpected), tuple(adapted), windows, origin)
    logger.info("%s: %s", label, report)
    report.warn(label, prefix, f"{prefix}norm{len(backbone.layers) - 1}.")
    if trained is None:
        warn_of_guess(label, windows)
    return report


def convert(source: str | Path | Mapping[Any, Any], out: str | Path, to: str) -> None:
    """Write the backbone and classifier of a checkpoint in the layout of another project.

    Args:
        source: as for `read_checkpoint`.
        out: file to write, .safetensors or .pth; in a .pth the official layout is under `model` as in the release.
        to: official, timm, torchvision, hf or mmpretrain.

    Raises:
        FileNotFoundError: there is no such file.
        ConnectionError: the address cannot be reached.
        ValueError: the checkpoint cannot be read, the layout cannot hold it, or `out` has another suffix.
    """
    checkpoint, parts, layout = open_weights(source)
    with errors_of(checkpoint.label):
        windows, _ = training_windows(checkpoint.tensors, layout, checkpoint.names)
        written = from_official(parts.inside, to, windows)
    write_checkpoint(written, out, "model" if to == "official" else None)
    if left := [*(key for key in parts.inside if not has_place(key, to)), *parts.beside]:
        text = "%d tensors of %s have no place in the %s layout: %s"
        logger.warning(text, len(left), checkpoint.label, to, grouped(left))


def open_weights(source: str | Path | Mapping[Any, Any]) -> tuple[Checkpoint, Parts, str]:
    """Checkpoint, its tensors under official names, and its layout.

    Args:
        source: as for `read_checkpoint`.

    Raises:
        FileNotFoundError: there is no such file.
        ConnectionError: the address cannot be reached.
        ValueError: the checkpoint cannot be read, or has no backbone or one with NaN or other unusable values.
    """
    checkpoint = open_checkpoint(source)
    for key, value in checkpoint.tensors.items():
        if value.is_nested:  # it has no shape to compare
            raise ValueError(f"{checkpoint.label}: {key} {defect(value)}")
    try:
        layout = detect_format(checkpoint.tensors)
    except ValueError as error:
        raise ValueError(f"{checkpoint.label} has {error}") from None
    with errors_of(checkpoint.label):
        return checkpoint, official_parts(checkpoint.tensors, layout), layout


def _find_backbone(model: nn.Module) -> tuple[str, SwinTransformerV2]:
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, SwinTransformerV2)]
    if len(found) != 1:
        names = ", ".join(name or "itself" for name, _ in found) or "none"
        raise ValueError(
            f"{type(model).__name__} should hold one SwinTransformerV2, has {names}; give the part to load."
        )
    name, backbone = found[0]
    return f"{name}." if name else "", backbone


def _set_windows(backbone: SwinTransformerV2, trained: Sequence[Sequence[int]] | None) -> None:
    """Set the pretraining windows; image weights have none along time, where the model keeps its own."""
    own = backbone.pretrained_window_sizes
    windows = [(*o[: len(o) - len(t)], *t) for o, t in zip(own, trained or own, strict=True)]
    backbone.set_pretrained_window_sizes(windows)
