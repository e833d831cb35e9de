"""Fixed and balanced windows where sides leave thin remnants, accuracy on shapes: `python -m benchmarks.window_fit`."""

import argparse
import csv
import statistics
from pathlib import Path
from typing import get_args

import torch

from benchmarks.timing import machine, table
from swinv2.classification.cli import main as classification
from swinv2.windows import Fit, axis_starts

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).with_suffix(".md")
RECIPE = ROOT / "configs/classification/quickstart.yaml"
SIDE, WINDOW, PATCH = 72, 8, 4  # 18 tokens: 8 8 2, or 6 6 6; then 9: 8 1, or 5 4
EPOCHS = 4  # few, as all shapes are learned in the end


def main() -> None:
    """Train with either fit, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="how often each is trained")
    parser.add_argument("--folder", type=Path, default=Path("runs/window_fit"), help="where runs are kept")
    options = parser.parse_args()
    scores = {fit: [trained(fit, seed, options.folder) for seed in range(options.seeds)] for fit in get_args(Fit)}
    text = report(scores)
    print(text)
    RESULT.write_text(text)


def trained(fit: Fit, seed: int, folder: Path) -> float:
    """Top-1 accuracy on unseen shapes of a model that is trained with a fit."""
    run = folder / f"{fit}{seed}"
    options = {
        "config": RECIPE,
        "seed_everything": seed,
        "model.model.init_args.backbone.window_size": WINDOW,
        "model.model.init_args.backbone.window_fit": fit,
        "data.size": SIDE,
        "trainer.max_epochs": EPOCHS,
        "trainer.check_val_every_n_epoch": EPOCHS,
        "trainer.default_root_dir": run,
        "trainer.enable_progress_bar": "false",
    }
    classification(["fit", *(f"--{name}={value}" for name, value in options.items())])
    newest = max(run.glob("version_*/metrics.csv"), key=lambda file: file.stat().st_mtime)
    return [float(row["top1"]) for row in csv.DictReader(newest.open()) if row.get("top1")][-1]


def report(scores: dict[Fit, list[float]]) -> str:
    """The table, mean and deviation of the seeds.

    Args:
        scores: top-1 accuracies of the runs, by fit.
    """
    rows = []
    for fit, found in scores.items():
        cut = [
            axis_starts(SIDE // PATCH // down, WINDOW, False, fit, torch.device("cpu")).diff().tolist()
            for down in (1, 2)
        ]
        spread = statistics.stdev(found) if len(found) > 1 else 0
        segments = ", then ".join(" ".join(map(str, lengths)) for lengths in cut)
        rows.append(
            [fit, segments, f"{statistics.mean(found):.3f} ± {spread:.3f}", " ".join(f"{s:.3f}" for s in found)]
        )
    return (
        f"# Fixed and balanced windows\n\n{table(['fit', 'tokens of windows', 'top-1', 'seeds'], rows)}\n\n"
        f"The quickstart's classifier on shapes of {SIDE} x {SIDE} pixels, window {WINDOW}, {EPOCHS} epochs from\n"
        f"scratch, 200 unseen pictures. Times: `python -m benchmarks.scaling balanced`.\n"
        f"`python -m benchmarks.window_fit`, {machine()}.\n"
    )


if __name__ == "__main__":
    main()
