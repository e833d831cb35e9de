"""What `swinv2 doctor` prints: versions and the machine, as text to paste into a report."""

import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata

import torch

REQUIRED = (
    *("torch", "torchvision", "lightning", "jsonargparse", "torchmetrics", "numpy", "safetensors", "huggingface_hub"),
    *("opencv-python-headless", "pillow", "tifffile", "imagecodecs", "av", "pycocotools", "orjson", "pyyaml"),
    *("anyascii", "filelock", "fvcore", "jaxtyping", "matplotlib", "tensorboard", "tqdm"),
)
OPTIONAL = ("pillow-heif", "faster-coco-eval", "torchcodec", "triton", "detectron2", "timm", "transformers")
GIB = 1 << 30


def report() -> str:
    """Versions of all packages in use, and what of processors, cards, memory and disk PyTorch can use."""
    lines = {
        "swinv2": _version("swinv2") or "not installed",
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "platform": platform.platform(),
        **dict(_packages()),
        **_processor(),
        **_cards(),
        **_room(),
    }
    width = max(map(len, lines)) + 2
    return "\n".join(f"{name:<{width}}{value}" for name, value in lines.items())


def _packages() -> Iterator[tuple[str, str]]:
    """Versions of the packages; those that are required and missing stand in a line, and so do the optional ones."""
    versions = {name: _version(name) for name in (*REQUIRED, *OPTIONAL)}
    yield from ((name, version) for name, version in versions.items() if version)
    for kind, names in (("missing", REQUIRED), ("missing, optional", OPTIONAL)):
        if missing := [name for name in names if not versions[name]]:
            yield kind, ", ".join(missing)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> dict[str, str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    instructions = torch.backends.cpu.get_cpu_capability()
    return {"processor": f"{platform.machine()}, {cores} cores, {instructions}, {torch.get_num_threads()} threads"}


def _cards() -> dict[str, str]:
    """Each card and its memory, and the CUDA or ROCm that PyTorch was built for."""
    versions = {"CUDA": torch.version.cuda, "ROCm": torch.version.hip}
    built = " ".join(f"{name} {version}" for name, version in versions.items() if version) or "the CPU alone"
    cards = [torch.cuda.get_device_properties(card) for card in range(torch.cuda.device_count())]
    named = {f"card {i}": f"{card.name}, {card.total_memory / GIB:.1f} GiB" for i, card in enumerate(cards)}
    return {"cards": f"{len(cards)}, PyTorch is built for {built}"} | named


def _room() -> dict[str, str]:
    """Memory of the machine, free memory for what loading processes hand over, and free space in this folder."""
    room = {"free disk here": f"{shutil.disk_usage('.').free / GIB:.1f} GiB"}
    if os.path.isdir("/dev/shm"):
        room["free /dev/shm"] = f"{shutil.disk_usage('/dev/shm').free / GIB:.1f} GiB"
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        room["memory"] = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / GIB:.1f} GiB"
    return room
