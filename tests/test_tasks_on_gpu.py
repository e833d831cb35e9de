"""The quickstart of each task on a pretended GPU: training, validation and prediction, and where the host waits."""

from itertools import pairwise
from pathlib import Path

import pytest

from swinv2.cli import main
from swinv2.training.task import Task
from tests.pretended_gpu import OPTIONS

ROOT = Path(__file__).parents[1]
STEPS = 20
SMALL = {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 1]}
DENSE = SMALL | {"out_indices": [0, 1]}
SHAPES = {"train": 2 * STEPS + 8, "val": 4, "size": 32}  # a picture may be without objects
TASKS = {  # what becomes of each quickstart, and waits of a training step
    "classification": ({"model.model.backbone": SMALL, "data.size": 32}, 0),
    "simmim": ({"model.model.init_args.backbone": SMALL, "data.size": 32}, 0),
    "video": ({"model.model.init_args.backbone": {"embed_dim": 8, "depths": [1, 1]}, "data.frames": 4}, 0),
    "segmentation": ({"model.model.init_args.backbone": DENSE}, 0),
    "detection": ({"model.model.init_args": {"backbone": DENSE, "rpn": {"anchor_sizes": [8, 16, 32]}}}, 7),
}


def options(changes, path=""):
    """Options of a command line."""
    for key, value in changes.items():
        name = f"{path}.{key}" if path else f"--{key}"
        yield from options(value, name) if isinstance(value, dict) else [name, str(value)]


def run(task, command, *more):
    """A command on the pretended GPU."""
    recipe = ROOT / f"configs/{task}/quickstart.yaml"
    assert main([task, command, "--config", str(recipe), *OPTIONS, *more]) == 0


@pytest.fixture
def waits(gpu, monkeypatch):
    """Numbers of waits before each step of a training."""
    found = []
    monkeypatch.setattr(Task, "on_train_batch_start", lambda *_: found.append(gpu.waits.total()))
    return found


@pytest.mark.parametrize("task", TASKS)
def test_quickstart(task, waits, gpu, tmp_path, monkeypatch):
    """Twenty steps, a validation and a prediction, without a mismatch, double precision or operators of a CPU alone.

    Between the first steps and the last no step waits for the GPU, but for those that a detector needs.
    """
    monkeypatch.chdir(tmp_path)
    changes, allowed = TASKS[task]
    small = [*options(changes | {"data.shapes": SHAPES, "data.batch_size": 2})]
    trainer = {"max_steps": STEPS, "max_epochs": 1, "val_check_interval": STEPS, "log_every_n_steps": 50}
    trainer |= {"check_val_every_n_epoch": "null", "limit_val_batches": 1, "num_sanity_val_steps": 0}
    trainer |= {"enable_progress_bar": "false"}  # a line on a slow computer would wait for its numbers
    run(task, "fit", *small, *options({"trainer": trainer}))
    steps = [later - earlier for earlier, later in pairwise(waits)]
    assert len(steps) == STEPS - 1 and set(steps[1:]) == {allowed}
    kind = "videos" if task == "video" else "images"
    found = sorted(str(path) for path in Path("data/shapes").rglob("*.*") if path.suffix in (".jpg", ".png", ".mp4"))
    run(task, "predict", *small, f"--data.{kind}", found[0], "--trainer.logger", "false")
    assert not gpu.host_only and not gpu.float64
