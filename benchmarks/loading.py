"""Images a second of our loader and of timm's, from the same files: `python -m benchmarks.loading [--root FOLDER]`."""

import argparse
import tarfile
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import create_dataset, create_loader

from benchmarks.timing import machine, medians, table
from swinv2.classification.data.imagenet_data import ImageNetData
from swinv2.shapes import make_classification

RESULTS = Path(__file__).parent / "loading.md"
SHAPES = Path("runs/benchmarks/loading")
FOLDERS, SHARD = "train", "train.tar"
SOURCES = {FOLDERS: "class folders", SHARD: "a tar file"}
MAGNITUDE, STD = 9.0, 0.5
RAND_AUGMENT = (
    f"rand-m{MAGNITUDE:.0f}-mstd{STD}-inc1-mmax9"  # today's Pillow refuses what timm's Posterize does above 9
)
NOTES = """
Images a second: medians of {rounds} epochs, the loaders taking turns. From JPEG files to batches of {batch} images of
{size} x {size} in bytes; processes that load: {workers}. Crop (bicubic) and flip, with or without RandAugment
`{augment}` (ours without the limit that its end sets); normalisation and erasing come later, on the
device. timm's batches are those of `create_dataset` and `create_loader` before they go to the device.

{machine}. `python -m benchmarks.loading{root}`.
"""


def main() -> None:
    """Time the loaders, print the table and write it beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--root", type=Path, help="of photos, beside the shapes: has `train` with class folders, and gets train.tar"
    )
    parser.add_argument("--size", type=int, default=256, help="of the training crops, pixels")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    roots = {"shapes": make_classification(SHAPES, train=320, val=4, size=448)}
    if options.root is not None:
        roots["photos"] = options.root
    rows = [row for pictures, root in roots.items() for row in measure(pictures, root, options)]
    notes = NOTES.format(
        rounds=options.rounds,
        batch=options.batch,
        size=options.size,
        workers=options.workers,
        augment=RAND_AUGMENT,
        machine=machine(),
        root="" if options.root is None else " --root FOLDER",
    )
    header = ["pictures", "kB each", "in", "RandAugment", f"timm {timm.__version__}", "ours", "ours / timm"]
    text = f"# Loading of training images\n\n{table(header, rows)}\n{notes}"
    print(text)
    RESULTS.write_text(text)


def measure(pictures: str, root: Path, options: argparse.Namespace) -> list[list[str]]:
    """Rows of the table, with RandAugment and without."""
    files = sorted(path for path in (root / FOLDERS).rglob("*") if path.is_file())
    write_shard(root / SHARD, files)
    size = sum(file.stat().st_size for file in files) / 1e3 / len(files)
    rows = []
    for augment in (True, False):
        loaders = {
            f"{whose} {source}": loader(root, source, augment, options)
            for source in SOURCES
            for whose, loader in (("theirs", theirs), ("ours", ours))
        }
        seconds = medians({name: epoch(loader) for name, loader in loaders.items()}, options.rounds)
        for source, name in SOURCES.items():
            rates = [len(files) / seconds[f"{whose} {source}"] for whose in ("theirs", "ours")]
            figures = [*(f"{rate:.0f}" for rate in rates), f"{rates[1] / rates[0]:.2f}"]
            rows.append([pictures, f"{size:.0f}", name, "yes" if augment else "no", *figures])
    return rows


def epoch(loader: Iterable[Any]) -> Callable[[], None]:
    """What goes through a loader once."""

    def run() -> None:
        for images, _ in loader:
            assert images.dtype == torch.uint8

    return run


def ours(root: Path, source: str, augment: bool, options: argparse.Namespace) -> Iterable[Any]:
    """Our loader of a source."""
    data = ImageNetData(
        root,
        train=source,
        val=source,
        batch_size=options.batch,
        num_workers=options.workers,
        size=options.size,
        rand_augment=(MAGNITUDE, STD) if augment else None,
    )
    data.setup("fit")
    return data.train_dataloader()


def theirs(root: Path, source: str, augment: bool, options: argparse.Namespace) -> Iterable[Any]:
    """The loader that timm makes of a source."""
    loader = create_loader(
        create_dataset("", str(root / source)),
        input_size=(3, options.size, options.size),
        batch_size=options.batch,
        is_training=True,
        interpolation="bicubic",
        color_jitter=None,
        auto_augment=RAND_AUGMENT if augment else None,
        num_workers=options.workers,
        persistent_workers=True,
        device=torch.device("cpu"),
    )
    return loader.loader  # batches before normalisation


def write_shard(path: Path, files: list[Path]) -> None:
    """Write images and their labels as a shard that both read: ours by the labels, timm's by the folders in it."""
    labels = {name: label for label, name in enumerate(sorted({file.parent.name for file in files}))}
    with tarfile.open(path, "w") as shard:
        for file in files:
            name = f"{file.parent.name}/{file.stem}"
            label = str(labels[file.parent.name]).encode()
            for member, content in ((f"{name}{file.suffix}", file.read_bytes()), (f"{name}.cls", label)):
                header = tarfile.TarInfo(member)
                header.size = len(content)
                shard.addfile(header, BytesIO(content))


if __name__ == "__main__":
    main()
