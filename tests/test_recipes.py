"""Every recipe can be run."""

import re
from pathlib import Path

import pytest
import yaml

from swinv2.cli import main
from swinv2.shapes import make_detection

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "configs").rglob("*.yaml"))
IDS = [recipe.stem for recipe in RECIPES]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A few pictures of four classes, under the names that COCO has."""
    folder = make_detection(tmp_path_factory.mktemp("data") / "shapes", train=8, val=8, size=64)
    annotations = folder / "annotations"
    for part in ("train", "val"):
        (folder / part).rename(folder / f"{part}2017")
        (annotations / f"instances_{part}.json").rename(annotations / f"instances_{part}2017.json")
    return folder


def head(recipe):
    """The comment at the beginning of a recipe."""
    return "".join(line for line in recipe.read_text().splitlines(keepends=True) if line.startswith("#"))


@pytest.mark.parametrize("recipe", RECIPES, ids=IDS)
def test_recipe_runs_two_steps(recipe, shapes, tmp_path, monkeypatch):
    """Built, trained for two steps, scored: with small made pictures, without weights from elsewhere, on the CPU."""
    monkeypatch.chdir(tmp_path)
    task = recipe.parent.name
    changes = {
        "data": {
            "root": str(shapes),
            **{f"{part}_images": f"{part}2017" for part in ("train", "val")},
            **{f"{part}_annotations": f"annotations/instances_{part}2017.json" for part in ("train", "val")},
            "shapes": None,
            "batch_size": 1,
            "num_workers": 0,
            "short_edge": 64,
            "long_edge": 64,
        },
        "model": {"model": {"init_args": {"backbone": {"weights": None}, "num_classes": None}}},
        "trainer": {
            "max_steps": 2,
            "accelerator": "cpu",
            "check_val_every_n_epoch": None,
            "val_check_interval": 2,
            "limit_val_batches": 1,
            "enable_progress_bar": False,
        },
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(changes))
    command = [task, "fit", "--config", str(recipe), "--config", "small.yaml", "--trainer.default_root_dir", "run"]
    assert main([*command, "--trainer.enable_checkpointing", "false"]) == 0
    rows = (tmp_path / "run/version_0/metrics.csv").read_text()
    assert "box/AP" in rows.splitlines()[0]


@pytest.mark.parametrize("recipe", RECIPES, ids=IDS)
def test_recipe_says_where_it_comes_from(recipe):
    """What it reproduces, the command to run it, the score to expect, and what is assumed."""
    text = head(recipe)
    assert f"swinv2 {recipe.parent.name} fit --config {recipe.relative_to(ROOT)}" in text
    assert re.search("Published:|Expected:", text)
    assert "assumed:" in text or recipe.stem == "quickstart"
