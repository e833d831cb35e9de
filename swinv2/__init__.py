"""Swin Transformer V2: one N-D backbone for images and video, detection, segmentation and classification."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backbone import SwinTransformerV2
    from .classifier import create_model
    from .engines import Watch, explain, optimize_for_inference, use_engine
    from .torchvision_backbone import as_torchvision_backbone
    from .variants import BackboneConfig, create_backbone, list_models
    from .weights import LoadReport, convert, load_weights

__version__ = "0.1.0"
__all__ = [
    "BackboneConfig",
    "LoadReport",
    "SwinTransformerV2",
    "Watch",
    "as_torchvision_backbone",
    "convert",
    "create_backbone",
    "create_model",
    "explain",
    "list_models",
    "load_weights",
    "optimize_for_inference",
    "use_engine",
]
_MODULES = {  # of the names above; imported on first use, so that the command reacts to Ctrl-C from its start
    "backbone": ("SwinTransformerV2",),
    "classifier": ("create_model",),
    "engines": ("Watch", "explain", "optimize_for_inference", "use_engine"),
    "torchvision_backbone": ("as_torchvision_backbone",),
    "variants": ("BackboneConfig", "create_backbone", "list_models"),
    "weights": ("LoadReport", "convert", "load_weights"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    if name in _MODULES:  # `swinv2.weights` after `import swinv2`
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
