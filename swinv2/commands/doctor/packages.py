"""Versions of Python and of all packages in use."""

import platform
from collections.abc import Iterator
from importlib import metadata

from .finding import Finding

REQUIRED = (
    *("torch", "torchvision", "lightning", "jsonargparse", "torchmetrics", "numpy", "safetensors", "huggingface_hub"),
    *("opencv-python-headless", "pillow", "tifffile", "imagecodecs", "av", "pycocotools", "orjson", "pyyaml"),
    *("anyascii", "filelock", "fvcore", "jaxtyping", "matplotlib", "tensorboard", "tqdm"),
)
OPTIONAL = ("pillow-heif", "faster-coco-eval", "torchcodec", "triton", "detectron2", "timm", "transformers")


def packages() -> Iterator[Finding]:
    """Versions; packages that are required and missing stand in a line, and so do the optional ones."""
    yield Finding("swinv2", version("swinv2") or "not installed")
    yield Finding("Python", f"{platform.python_version()} ({platform.python_implementation()})")
    versions = {name: version(name) for name in (*REQUIRED, *OPTIONAL)}
    yield from (Finding(name, found) for name, found in versions.items() if found)
    if missing := [name for name in REQUIRED if not versions[name]]:
        yield Finding("missing", f"{', '.join(missing)}; pip install {' '.join(missing)}", wrong=True)
    if missing := [name for name in OPTIONAL if not versions[name]]:
        yield Finding("missing, optional", ", ".join(missing))


def version(package: str) -> str:
    """Version of a package; empty if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
