"""Every recipe can be run."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

from detection import Detector
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


def small_data(recipe, shapes):
    """What a recipe's data become: small pictures, on the spot."""
    folders = {f"{part}_images": f"{part}2017" for part in ("train", "val")}
    annotations = {f"{part}_annotations": f"annotations/instances_{part}2017.json" for part in ("train", "val")}
    more = {"crop_size": 64, "semantic_maps": "semantic/train"}
    given = {key: value for key, value in more.items() if key in recipe["data"]}
    sizes = dict.fromkeys(("short_edge", "val_short_edge", "long_edge"), 64)
    return (
        {"root": str(shapes), "shapes": None, "batch_size": 1, "num_workers": 0} | folders | annotations | sizes | given
    )


def small_model(recipe):
    """What a recipe's model becomes: a dwarf of its kind, without weights from elsewhere."""
    given = recipe["model"]["model"]
    backbone = {"weights": None, "embed_dim": 8, "depths": [1] * 4, "num_heads": [1, 2, 4, 8]}
    ours = {"rpn": {"proposals": 50}, "roi": {"samples": 16, "box_head_dim": 64, "mask_head_dim": 16}}
    attention = {"global_attention_heads": 8} if "global_attention_heads" in given["init_args"] else {}
    heads = {} if given["class_path"] in ("FasterRCNN", "RetinaNet") else ours
    init_args = {"backbone": backbone, "num_classes": None, "fpn_channels": 32, **heads, **attention}
    return {"model": {"init_args": init_args}, "weights": None, "class_map": None}


@pytest.mark.parametrize("recipe", RECIPES, ids=IDS)
def test_recipe_builds_in_full(recipe):
    """The detector that it describes, of 80 classes, in its true size, but without memory and weights."""
    detector = yaml.safe_load(recipe.read_text())["model"]["model"]
    detector["init_args"]["backbone"]["weights"] = None
    detector["init_args"]["num_classes"] = 80
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=Detector)
    with torch.device("meta"):
        model = parser.instantiate(parser.parse_object({"model": detector})).model
    assert model.num_classes == 80


@pytest.mark.parametrize("recipe", RECIPES, ids=IDS)
def test_recipe_runs_two_steps(recipe, shapes, tmp_path, monkeypatch):
    """Built, trained for two steps, scored: with small made pictures, without weights from elsewhere, on the CPU."""
    monkeypatch.chdir(tmp_path)
    task = recipe.parent.name
    content = yaml.safe_load(recipe.read_text())
    changes = {
        "data": small_data(content, shapes),
        "model": small_model(content),
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
