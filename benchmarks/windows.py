"""Table 1 of the paper in small: one checkpoint at several windows and image sizes, log-spaced bias beside linear."""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.timing import machine, table
from segmentation.cli import main as segmentation
from swinv2.attention import ContinuousPositionBias
from swinv2.commands.window_sweep import Point, combined, draw, measure
from swinv2.windows import Size

ROOT = Path(__file__).parents[1]
RESULT, PICTURE = Path(__file__).with_suffix(".md"), ROOT / "docs/windows.png"
RECIPE = ROOT / "configs/segmentation/quickstart.yaml"

TRAINED, WINDOWS = 4, (4, 6, 8, 12, 16, 24)
STEPS = 1000
EDGES = (96, 192)  # pixels; the first is that of the training


class LinearPositionBias(ContinuousPositionBias):
    """The ablation of table 1: the network is given offsets from -1 to 1 in the window of the training."""

    @staticmethod
    def spaced(window: Size, trained_window: Size, device: torch.device) -> Float[Tensor, "*pairs n"]:
        """All offsets, whose unit is 1."""
        units = zip(window, trained_window, strict=True)
        steps = [torch.arange(1 - w, w, device=device, dtype=torch.float32) / max(t - 1, 1) for w, t in units]
        return torch.stack(torch.meshgrid(*steps, indexing="ij"), -1)


SPACINGS = {"log": ContinuousPositionBias, "linear": LinearPositionBias}


def main() -> None:
    """Train with either bias, validate at all windows, print the table and write it and its picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="how often each is trained")
    parser.add_argument("--folder", type=Path, default=Path("runs/windows"), help="where runs are kept")
    options = parser.parse_args()
    runs = {
        spacing: [trained_and_measured(spacing, seed, options.folder) for seed in range(options.seeds)]
        for spacing in SPACINGS
    }
    text = report(runs)
    print(text)
    RESULT.write_text(text)
    draw({f"{spacing}-spaced bias": mean(found) for spacing, found in runs.items()}, "mIoU").savefig(PICTURE, dpi=110)


def trained_and_measured(spacing: str, seed: int, folder: Path) -> list[Point]:
    """Scores of a model that is trained for this."""
    run = folder / f"{spacing}{seed}"
    options = ["--config", str(RECIPE), "--seed_everything", str(seed), "--trainer.default_root_dir", str(run)]
    options += ["--model.model.init_args.backbone.window_size", str(TRAINED)]
    options += ["--trainer.max_steps", str(STEPS), "--trainer.val_check_interval", str(STEPS)]
    options += ["--trainer.enable_progress_bar", "false"]
    with patch("swinv2.attention.ContinuousPositionBias", SPACINGS[spacing]):
        if not (run / "finished").exists():  # a stopped benchmark goes on with the run that it was at
            segmentation(["fit", *options])
            (run / "finished").touch()
        scored = [*options, "--ckpt_path", str(run / "checkpoints/last.ckpt")]
        return measure("segmentation", scored, combined(EDGES, WINDOWS, False), run / "scores")


def mean(runs: Sequence[Sequence[Point]]) -> list[Point]:
    """Points with the mean of several runs."""
    return [same[0]._replace(score=statistics.mean(p.score for p in same)) for same in zip(*runs, strict=True)]


def report(runs: Mapping[str, Sequence[Sequence[Point]]]) -> str:
    """The table, mean and deviation of the runs.

    Args:
        runs: points of each run, by spacing.
    """
    rows = []
    for found in zip(*(zip(*runs[spacing], strict=True) for spacing in SPACINGS), strict=True):
        scores = [[point.score for point in same] for same in found]
        gain = statistics.mean(scores[0]) - statistics.mean(scores[1])
        cells = [f"{statistics.mean(one):.3f} ± {statistics.stdev(one) if len(one) > 1 else 0:.3f}" for one in scores]
        rows.append([str(found[0][0].short_edge), str(found[0][0].window_size), *cells, f"{100 * gain:+.1f}"])
    header = ["short edge", "window", *(f"{spacing}-spaced bias, mIoU" for spacing in SPACINGS), "log - linear, points"]
    return (
        f"# Another window than in training, without fine-tuning\n\n{table(header, rows)}\n\n"
        f"The quickstart's UPerNet on shapes, {STEPS} steps from scratch at {EDGES[0]} pixels, window {TRAINED};\n"
        f"mean and deviation of {len(runs['log'])} seeds. Pictures have {EDGES[0]} pixels; {EDGES[1]} shows\n"
        f"them enlarged. `python -m benchmarks.windows`, {machine()}.\n"
    )


if __name__ == "__main__":
    main()
