"""Training, scoring and prediction on two processes, as on two GPUs."""

import csv
import json

import yaml

from swinv2.cli import main
from swinv2.shapes import make_classification

IMAGES = 5  # odd: the two processes have different numbers


def test_two_processes(on_two_processes, tmp_path, monkeypatch):
    """Two processes score as one does, each with its part of the images, and predict each image once."""
    make_classification(tmp_path / "shapes", train=8, val=IMAGES, size=32)
    backbone = {"name": "swinv2_tiny_window8_256", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
    content = {
        "model": {"model": {"backbone": backbone}, "optimizer": {"lr": 3.0e-3}},
        "data": {"root": str(tmp_path / "shapes"), "batch_size": 2, "num_workers": 0, "size": 32, "mixup_alpha": 0.8},
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False},
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(content))
    config = ["--config", str(tmp_path / "small.yaml"), "--model.output"]
    on_two_processes("classification", "fit", *config[:2])
    checkpoint = ["--ckpt_path", str(tmp_path / "runs/classification/small/checkpoints/last.ckpt")]
    on_two_processes("classification", "validate", *config, "two", *checkpoint)
    monkeypatch.chdir(tmp_path)
    assert main(["classification", "validate", *config, "one", *checkpoint]) == 0
    one, two = (json.loads((tmp_path / folder / "scores.json").read_text()) for folder in ("one", "two"))
    assert one == two
    images = ["--data.images", str(tmp_path / "shapes/val")]
    on_two_processes("classification", "predict", *config, "found", *checkpoint, *images)
    with (tmp_path / "found/predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["image"] for row in rows}) == len(rows) == IMAGES
    assert len(list((tmp_path / "found/pictures").rglob("*.jpg"))) == IMAGES
