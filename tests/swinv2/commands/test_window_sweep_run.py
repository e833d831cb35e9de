"""`swinv2 windows` with real validations, on made data."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from swinv2 import SwinTransformerV2
from swinv2.cli import main
from swinv2.shapes import make_classification, make_segmentation

ROOT = Path(__file__).parents[3]
TIMEOUT = 120  # seconds
DWARF = {"name": "swinv2_tiny_window8_256", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
HEADS = {
    "classification": {"class_path": "ImageClassifier", "init_args": {"backbone": DWARF}},
    "segmentation": {
        "class_path": "UPerNet",
        "init_args": {"backbone": DWARF, "channels": 8, "auxiliary_channels": 8},
    },
}
IMAGES = 5  # odd: two processes have different numbers


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Writes data and the recipe of a model of the least size into the folder of the test, which is the current one."""
    monkeypatch.chdir(tmp_path)

    def write(task):
        make = {"classification": make_classification, "segmentation": make_segmentation}[task]
        make(tmp_path / "shapes", train=8, val=IMAGES, size=64)
        classes = "objectInfo.txt" if task == "segmentation" else None
        data = {"root": str(tmp_path / "shapes"), "classes": classes, "batch_size": 2, "num_workers": 0}
        trainer = {"accelerator": "cpu", "enable_progress_bar": False}
        content = {"model": {"model": HEADS[task]}, "data": data, "trainer": trainer}
        (tmp_path / task).mkdir()
        (tmp_path / f"{task}/small.yaml").write_text(yaml.safe_dump(content))
        return f"{task}/small.yaml"

    return write


@pytest.fixture
def seen(monkeypatch):
    """Height, width and window, in tokens, of what backbones are given."""
    forward, found = SwinTransformerV2.forward, []

    def recorded(self, images):
        found.append((*images.shape[-2:], self.window_size[0]))
        return forward(self, images)

    monkeypatch.setattr(SwinTransformerV2, "forward", recorded)
    return found


def rows(path):
    """The lines of a table."""
    with path.open() as file:
        return [*csv.reader(file)]


def test_classifier_at_pairs(recipe, seen, tmp_path):
    """Each window meets images of its own size only, and the table has the score of just that validation."""
    config = ["--config", recipe("classification"), "--ckpt_path", "null", "--trainer.limit_val_batches", "1"]
    cuts = ["--window_sizes", "4", "6", "--short_edges", "32", "48", "--pairs", "--output", "found"]
    assert main(["windows", *config, *cuts]) == 0
    assert seen == [(32, 32, (4, 4)), (48, 48, (6, 6))]
    scores = [json.loads((tmp_path / f"found/edge{edge}_window{window}/scores.json").read_text())["top1"]
              for edge, window in ((32, 4), (48, 6))]  # fmt: skip
    expected = [["short_edge", "window_size", "top1"], ["32", "4", str(scores[0])], ["48", "6", str(scores[1])]]
    assert rows(tmp_path / "found/windows.csv") == expected
    assert (tmp_path / "found/windows.png").stat().st_size > 1000


def test_segmenter_at_every_size(recipe, seen, tmp_path):
    """Every window at every size, whole images of one batch each; neither maps nor pictures of images are written."""
    config = ["--config", recipe("segmentation"), "--ckpt_path", "null", "--trainer.limit_val_batches", "1"]
    cuts = ["--window_sizes", "4", "8", "--short_edges", "32", "64", "--output", "found"]
    assert main(["windows", *config, *cuts]) == 0
    assert [*dict.fromkeys(seen)] == [(side, side, (window, window)) for side in (32, 64) for window in (4, 8)]
    head, *lines = rows(tmp_path / "found/windows.csv")
    assert head == ["short_edge", "window_size", "mIoU"]
    assert [line[:2] for line in lines] == [["32", "4"], ["32", "8"], ["64", "4"], ["64", "8"]]
    for edge, window, score in lines:
        folder = tmp_path / f"found/edge{edge}_window{window}"
        assert float(score) == json.loads((folder / "scores.json").read_text())["mIoU"]
        assert not (folder / "results").exists() and not (folder / "pictures").exists()


def test_two_processes(recipe, tmp_path):
    """The first process, here with a launcher, writes the table of both, as one does; the second writes no scores."""
    config = ["--config", recipe("classification"), "--ckpt_path", "null", "--seed_everything", "3"]
    cuts = ["--window_sizes", "4", "6", "--short_edges", "32", "48", "--pairs", "--output"]
    (tmp_path / "swinv2_command.py").write_text("import sys\nfrom swinv2.cli import main\nsys.exit(main())\n")
    two = ["windows", *config, *cuts, "two", "--trainer.devices", "2", "--trainer.strategy", "ddp"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    start = [sys.executable, "swinv2_command.py", *two]  # as a user starts it
    done = subprocess.run(start, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("table and picture: two/windows.csv") == 1
    assert main(["windows", *config, *cuts, "one"]) == 0
    assert rows(tmp_path / "two/windows.csv") == rows(tmp_path / "one/windows.csv")
    assert len(rows(tmp_path / "one/windows.csv")) == 3
