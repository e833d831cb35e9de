"""Mask R-CNN, Cascade and HTC on shapes with equal budgets: `python -m benchmarks.heads [--seeds 3 --steps 800]`."""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from benchmarks.timing import machine, table
from swinv2.shapes import make_detection
from swinv2.shapes.coco import SEMANTIC_CLASSES

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "heads.md"
RECIPE = ROOT / "configs/detection/quickstart.yaml"
HEADS: dict[str, dict[str, Any]] = {  # class, and what it has beside the settings of the recipe
    "Mask R-CNN": {"class_path": "MaskRCNN"},
    "Cascade Mask R-CNN": {"class_path": "CascadeMaskRCNN"},
    "HTC": {"class_path": "HybridTaskCascade", "init_args": {"semantic_classes": len(SEMANTIC_CLASSES)}},
}
TESTED = ("Mask R-CNN",)  # in all the ways below; the others only as they are
LOW = ["--model.model.init_args.postprocess.score_threshold", "0.001"]
SOFT = ["--model.model.init_args.postprocess.soft_nms"]
VIEWS = ["--model.views.long_edge", "128", "--model.views.short_edges"]
TESTS = {  # how a finished checkpoint is looked at
    "plain": [],
    "low scores kept (0.001)": LOW,
    "soft-NMS, linear": [*LOW, *SOFT, "linear"],
    "soft-NMS, Gaussian": [*LOW, *SOFT, "gaussian"],
    "flip": [*VIEWS, "[96]", "--model.views.flip", "true"],
    "three scales, flip": [*VIEWS, "[80,96,112]", "--model.views.flip", "true"],
    "three scales, flip, Gaussian": [*VIEWS, "[80,96,112]", "--model.views.flip", "true", *LOW, *SOFT, "gaussian"],
}
COMMAND = "import sys; from swinv2.cli import main; sys.exit(main())"

Row = dict[str, Any]


def main() -> None:
    """Train and test what is not done yet, print the tables and write them beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="how many runs of each head")
    parser.add_argument("--steps", type=int, default=800, help="training steps of each run")
    parser.add_argument("--workers", type=int, default=2, help="runs at the same time, one thread each")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/benchmarks/heads"), help="finished runs are kept here"
    )
    options = parser.parse_args()
    folder = options.folder.resolve() / f"steps_{options.steps}"
    make_detection(folder / "shapes", **yaml.safe_load(RECIPE.read_text())["data"]["shapes"])
    runs = [(head, seed) for head in HEADS for seed in range(options.seeds)]
    log = Log(folder / "results.jsonl")
    with ThreadPoolExecutor(options.workers) as pool:
        done = [pool.submit(train_and_test, head, seed, options.steps, folder, log) for head, seed in runs]
    for one in done:
        one.result()  # raises what went wrong there
    chosen = [row for row in log.rows if row["seed"] < options.seeds]
    text = report(chosen, options.seeds, options.steps)
    print(text)
    RESULTS.write_text(text)


class Log:
    """Results as JSON lines, read at the start, so that what is finished is not done again.

    Args:
        path: of the file; it need not exist.
    """

    def __init__(self, path: Path):
        self.path = path
        self.rows: list[Row] = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        self.lock = threading.Lock()

    def has(self, head: str, seed: int, test: str) -> bool:
        """Whether a result is there."""
        return any((row["head"], row["seed"], row["test"]) == (head, seed, test) for row in self.rows)

    def add(self, **row: Any) -> None:
        """Keep a result."""
        with self.lock:
            self.rows.append(row)
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)


def train_and_test(head: str, seed: int, steps: int, folder: Path, log: Log) -> None:
    """One run of one head, and its finished weights in all tests."""
    place = folder / f"{re.sub('[^a-z]+', '_', head.lower())}_{seed}"
    place.mkdir(exist_ok=True)
    recipe = place / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(make_recipe(head, seed, steps, folder), sort_keys=False))
    common = ["--config", str(recipe), "--trainer.default_root_dir", str(place)]
    if not log.has(head, seed, "plain"):
        start = time.monotonic()
        figures = command(["fit", *common])
        log.add(head=head, seed=seed, test="plain", minutes=(time.monotonic() - start) / 60, **figures)
    checkpoint = ["--ckpt_path", "last", "--model.output", str(place / "tests")]
    for test, arguments in TESTS.items() if head in TESTED else ():
        if not log.has(head, seed, test):
            start = time.monotonic()
            figures = command(["validate", *common, *checkpoint, *arguments])
            log.add(head=head, seed=seed, test=test, minutes=(time.monotonic() - start) / 60, **figures)


def make_recipe(head: str, seed: int, steps: int, folder: Path) -> dict[str, Any]:
    """The recipe with another head, seed and budget, scored once, at the end."""
    recipe = yaml.safe_load(RECIPE.read_text())
    model, extra = recipe["model"]["model"], HEADS[head]
    model["class_path"] = extra["class_path"]
    model["init_args"] |= extra.get("init_args", {})
    if "semantic_classes" in model["init_args"]:
        recipe["data"]["semantic_maps"] = "semantic/train"
    recipe["seed_everything"] = seed
    recipe["data"]["root"] = str(folder / "shapes")
    recipe["trainer"] |= {"max_steps": steps, "val_check_interval": steps, "enable_progress_bar": False}
    return recipe


def command(arguments: list[str]) -> dict[str, float]:
    """Box and mask AP that a command of `swinv2 detection` prints at its end.

    Raises:
        RuntimeError: the command fails.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    whole = [sys.executable, "-W", "ignore", "-c", COMMAND, "detection", *arguments]
    done = subprocess.run(whole, cwd=ROOT, env=environment, capture_output=True, text=True)
    found = re.findall(r"^(box|mask) +AP (\S+)", done.stdout, re.MULTILINE)
    if done.returncode or len(found) != 2:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return {kind: float(figure) for kind, figure in found}


def report(rows: list[Row], seeds: int, steps: int) -> str:
    """Both tables as Markdown."""
    trained = [
        [head, *(spread(rows, kind, head=head, test="plain") for kind in ("box", "mask", "minutes"))] for head in HEADS
    ]
    tested = [
        [test, *(spread(rows, kind, gain=True, head=head, test=test) for head in TESTED for kind in ("box", "mask"))]
        for test in TESTS
    ]
    columns = [f"{head}, {kind}" for head in TESTED for kind in ("box", "mask")]
    return (
        f"# RoI heads on shapes, {steps} steps, {seeds} seeds\n\n"
        f"{table(['head', 'box AP', 'mask AP', 'minutes'], trained)}\n\n"
        "Mean ± standard deviation (each seed). `quickstart.yaml` but for the head, the seed and the number of steps;\n"
        "200 unseen pictures.\n\n"
        f"# The same weights, tested in other ways\n\n{table(['test', *columns], tested)}\n\n"
        f"Mean gain in AP points over plain ± standard deviation over the seeds; of plain, AP itself.\n\n{machine()},\n"
        f"one thread a run. `python -m benchmarks.heads --seeds {seeds} --steps {steps}`.\n"
    )


def spread(rows: list[Row], kind: str, gain: bool = False, **which: str) -> str:
    """Mean, standard deviation and each value of some results, or their gain over the plain test of the same seed.

    Args:
        rows: all results.
        kind: box, mask or minutes.
        gain: give the difference to the plain test, in points (hundredths).
        which: head and test of the results.
    """
    values = {row["seed"]: row[kind] for row in rows if matches(row, which)}
    plain = {row["seed"]: row[kind] for row in rows if matches(row, which | {"test": "plain"})}
    if gain and which["test"] != "plain":
        differences = [100 * (value - plain[seed]) for seed, value in values.items()]
        return f"{statistics.mean(differences):+.1f} ± {deviation(differences):.1f}"
    digits = 1 if kind == "minutes" else 3
    each = [values[seed] for seed in sorted(values)]
    mean = f"{statistics.mean(each):.{digits}f} ± {deviation(each):.{digits}f}"
    return mean if gain else f"{mean} ({', '.join(f'{value:.{digits}f}' for value in each)})"


def matches(row: Row, which: Mapping[str, str]) -> bool:
    """Whether a result is of some head and test."""
    return all(row[key] == value for key, value in which.items())


def deviation(values: list[float]) -> float:
    """Standard deviation of a sample, 0 for a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


if __name__ == "__main__":
    main()
